// Runs a page's script without a browser: node page_in_node.js page.html seconds; prints what it draws, as JSON.
"use strict";
const fs = require("fs");
const vm = require("vm");
const page = fs.readFileSync(process.argv[2], "utf8");
const script = (id) => page.match(new RegExp(`<script id="${id}"[^>]*>([^<]*)</script>`))[1];
const drawn = {};
const listeners = {};
const element = (id) => {
  const target = { id, style: {}, clientWidth: 800, textContent: id === "data" || id === "audio" ? script(id) : "" };
  const record = (name, ...given) => (drawn[id] ??= []).push([name, ...given]);
  const context = new Proxy({}, {
    get: (_, name) => (...given) => record(name, ...given),
    set: (_, name, value) => { record("=", name, value); return true; },
  });
  target.getContext = () => { drawn[id] = []; return context; };
  target.addEventListener = (name, listener) => { listeners[`${id} ${name}`] = listener; };
  return target;
};
const elements = {};
const document = element("document");
document.getElementById = (id) => (elements[id] ??= element(id));
class Audio {
  constructor() { Object.assign(this, { currentTime: Number(process.argv[3]), paused: true, playbackRate: 1 }); }
  addEventListener(name, listener) { listeners[`audio ${name}`] = listener; }
  play() { this.paused = false; }
  pause() { this.paused = true; }
}
const window = { devicePixelRatio: 2, addEventListener() {} };
const world = { document, window, Audio, Blob, URL: { createObjectURL: () => "blob:" }, atob, requestAnimationFrame() {} };
vm.runInNewContext(page.match(/<script>\n([^]*)<\/script>/)[1], { ...world, console });
const first = JSON.parse(JSON.stringify(drawn));
listeners["wave click"]({ offsetX: 400 });
listeners["audio seeked"]();
listeners["play click"]();
const clock = elements.clock.textContent;
console.log(JSON.stringify({ first, moved: drawn, clock, listeners: Object.keys(listeners) }));
