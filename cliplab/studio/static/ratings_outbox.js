// What a person said of clips, on its way to the studio: an outbox like that of labels.

import { api, outbox, watch } from "/static/studio.js";
import { Outbox } from "/static/outbox.js";

/** Send one of what was said. What will never be accepted is refused, and what may be later is an error. */
async function deliver([first], options) {
  const { client, sequence, path, body } = first;
  try {
    return { ...(await api(path, { ...body, client, sequence }, options)), durable: { [client]: [sequence] }, refused: [] };
  } catch (error) {
    if (error.status === undefined || error.status >= 500 || [401, 403, 429].includes(error.status)) throw error;
    return { durable: {}, refused: [{ client, sequence, error: error.message }] };
  }
}

export const ratings = watch(new Outbox(outbox.studio, { kind: "-clips", deliver }));

/** Keep and send {path, body}. The event "stored" of ratings has the answer. */
export const keep = (path, body) => ratings.putAll([{ path, body }]);

// What a tab of an earlier version left.
for (const key of Object.keys(localStorage).filter((one) => one.startsWith(`cliplab-clips-${outbox.studio}:`))) {
  const { path, body: { client, sequence, ...body }, at } = JSON.parse(localStorage.getItem(key));
  ratings.take([{ client, sequence, path, body, at: at / 1000, local: null }]);
  localStorage.removeItem(key);
}
