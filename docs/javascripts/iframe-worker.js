// A site that is read from the disk has no web workers, which the search box asks for. There, a hidden frame runs the
// worker's script instead: it has the same messages, and importScripts, which gives a promise.
"use strict";

if (location.protocol === "file:") {
  const inside = (address) => `<!doctype html><script>
    self.postMessage = (data) => parent.postMessage({ frameWorker: ${JSON.stringify(address)}, data }, "*");
    self.importScripts = (...addresses) => addresses.reduce(
      (before, address) => before.then(() => new Promise((done, failed) => {
        const script = document.createElement("script");
        script.src = address;
        script.onload = done;
        script.onerror = () => failed(new Error("cannot load " + address));
        document.head.append(script);
      })),
      Promise.resolve(),
    );
  <\/script><script src="${address}"><\/script>`;

  window.Worker = class extends EventTarget {
    constructor(address) {
      super();
      const url = String(new URL(address, document.baseURI));
      const frame = document.createElement("iframe");
      frame.hidden = true;
      this.ready = new Promise((done) => { frame.onload = done; });
      frame.srcdoc = inside(url);
      this.frame = frame;
      const place = () => document.body.append(frame);
      if (document.body) place(); else addEventListener("DOMContentLoaded", place);
      addEventListener("message", (event) => {
        if (event.source === frame.contentWindow && event.data && event.data.frameWorker === url) {
          this.dispatchEvent(new MessageEvent("message", { data: event.data.data }));
          if (this.onmessage) this.onmessage(new MessageEvent("message", { data: event.data.data }));
        }
      });
    }

    postMessage(data) {
      this.ready.then(() => this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data })));
    }

    terminate() {
      this.frame.remove();
    }
  };
}
