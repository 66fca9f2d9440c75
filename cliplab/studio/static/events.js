// What the studio tells the page that is looked at. A browser opens six connections to one address for all of its tabs:
// with a stream in each hidden tab, the seventh tab would wait for ever and no label would leave any of them.

/**
 * Listen to the server's events: {topic: function(data)}. The browser connects again by itself. opened: called whenever
 * the stream is open; true says that it was open before, so that events may have been missed since.
 */
export function listen(handlers, opened = () => null) {
  let source = null, before = false;
  const close = () => {
    source?.close();
    source = null;
  };
  const open = () => {
    source = new EventSource("/stream");
    source.addEventListener("open", () => {
      opened(before);
      before = true;
    });
    for (const [topic, handler] of Object.entries(handlers)) {
      source.addEventListener(topic, (event) => handler(JSON.parse(event.data)));
    }
  };
  const follow = () => {
    if (document.visibilityState === "hidden") close();
    else if (!source) open();
  };
  document.addEventListener("visibilitychange", follow);
  addEventListener("pagehide", close);
  addEventListener("pageshow", follow); // back from the browser's cache of pages
  follow();
}
