// Drives the very tus client that browsers get (static/vendor), with Node's http underneath it.
// Arguments: client file, endpoint, token, image id, file, piece size, bytes after which to pause once (0: never).
const [client, endpoint, token, image, path, piece, pauseAt] = process.argv.slice(2);
const fs = require("node:fs");
const http = require("node:http");
const tus = require(client);

class Exchange {
  constructor(method, url) {
    Object.assign(this, { method, url: new URL(url, endpoint), headers: {}, progress: () => {} });
  }
  getMethod() { return this.method; }
  getURL() { return this.url.href; }
  setHeader(name, value) { this.headers[name] = value; }
  getHeader(name) { return this.headers[name]; }
  setProgressHandler(handler) { this.progress = handler; }
  getUnderlyingObject() { return this.request; }
  async send(body = null) {
    const data = body ? Buffer.from(await body.arrayBuffer()) : Buffer.alloc(0);
    return new Promise((resolve, reject) => {
      this.request = http.request(this.url, { method: this.method, headers: { ...this.headers, "Content-Length": data.length } }, (response) => {
        const parts = [];
        response.on("data", (part) => parts.push(part));
        response.on("end", () => resolve({
          getStatus: () => response.statusCode,
          getHeader: (name) => response.headers[name.toLowerCase()] ?? null,
          getBody: () => Buffer.concat(parts).toString(),
          getUnderlyingObject: () => response,
        }));
      });
      this.request.on("error", (error) => { if (!this.aborted) reject(error); }); // as XMLHttpRequest: an abort is silent
      let at = 0;
      const more = () => {
        if (this.aborted) return;
        if (at >= data.length) return void this.request.end();
        const part = data.subarray(at, at + 65536);
        at += part.length;
        this.request.write(part, () => { this.progress(at); setImmediate(more); });
      };
      more();
    });
  }
  abort() { this.aborted = true; this.request?.destroy(); return Promise.resolve(); }
}

let paused = !Number(pauseAt);
const upload = new tus.Upload(new Blob([fs.readFileSync(path)]), {
  endpoint,
  headers: { "X-Auth-Token": token },
  metadata: { image_id: image, filename: "disk.raw" },
  chunkSize: Number(piece),
  uploadDataDuringCreation: false,
  retryDelays: [100, 300, 1000],
  httpStack: { createRequest: (method, url) => new Exchange(method, url), getName: () => "node" },
  onProgress(sent) {
    if (!paused && sent >= Number(pauseAt)) {
      paused = true;
      upload.abort().then(() => upload.start());
    }
  },
  onSuccess() { console.log(JSON.stringify({ url: upload.url, paused: Number(pauseAt) > 0 && paused })); },
  onError(error) { console.error(String(error)); process.exit(1); },
});
upload.start();
