// Runs a page's script without a browser:
//   node page_in_node.js page.html seconds width '[["wave pointerdown", {"offsetX": 400}], ...]'
// Each action calls a listener, "<element> <event>". Prints what was drawn, and the page's state, at first and after each.
"use strict";
const fs = require("fs");
const vm = require("vm");
const [file, seconds, width, actions] = process.argv.slice(2);
const page = fs.readFileSync(file, "utf8");
const content = (id) => page.match(new RegExp(`<script id="${id}"[^>]*>([^<]*)</script>`))?.[1] ?? "";
const colours = Object.fromEntries([...page.matchAll(/--(\w+): (#\w+);/g)].map(([, name, value]) => [name, value]).reverse());
const NATIVE = { play: "button", flip: "button", theme: "button", speed: "select", seek: "input" };
const drawn = {};
const listeners = {};
const elements = {};
const sizeOf = (font) => Number(/(\d+)px/.exec(font)?.[1] ?? 10);

function contextOf(id) {
  const state = {};
  const record = (name, ...given) => drawn[id].push([name, ...given, ...(name === "fillText" ? [{ ...state }] : [])]);
  return new Proxy({}, {
    get: (_, name) => name === "measureText"
      ? (text) => ({ width: 0.6 * sizeOf(state.font) * text.length })
      : (...given) => record(name, ...given),
    set: (_, name, value) => { state[name] = value; record("=", name, value); return true; },
  });
}

function element(id) {
  const target = { id, style: {}, dataset: {}, attributes: {}, clientWidth: Number(width), textContent: content(id) };
  let context;
  target.getContext = () => { drawn[id] = []; return (context ??= contextOf(id)); };
  target.addEventListener = (name, listener) => (listeners[`${id} ${name}`] ??= []).push(listener);
  target.setAttribute = (name, value) => { target.attributes[name] = value; };
  target.matches = (selector) => selector.split(", ").includes(NATIVE[id]);
  target.blur = () => { target.blurred = true; };
  target.setPointerCapture = () => {};
  return target;
}

const document = element("document");
document.getElementById = (id) => (elements[id] ??= element(id));
document.documentElement = element("root");
let audio;
class Audio {
  constructor() { audio = Object.assign(this, { currentTime: Number(seconds), paused: true, playbackRate: 1 }); }
  addEventListener(name, listener) { (listeners[`audio ${name}`] ??= []).push(listener); }
  play() { this.paused = false; }
  pause() { this.paused = true; }
}
const dark = Object.assign(element("dark"), { matches: false });
const window = {
  devicePixelRatio: 2, addEventListener() {}, location: { hash: process.argv[6] ?? "" }, matchMedia: () => dark,
  history: { replaceState(_, __, address) { window.location.hash = address; } },
  getComputedStyle: () => ({ getPropertyValue: (name) => colours[name.slice(2)] ?? "" }),
};
const world = { document, window, Audio, Blob, URL: { createObjectURL: () => "blob:" }, URLSearchParams, atob };
vm.runInNewContext(page.match(/<script>\n([^]*)<\/script>/)[1], { ...world, requestAnimationFrame() {}, console });

/** Return everything that a reader of the page would notice. */
function state() {
  return JSON.parse(JSON.stringify({
    drawn, timeS: audio.currentTime, playing: !audio.paused, clock: elements.clock.textContent, hash: window.location.hash,
    valueText: elements.seek.attributes["aria-valuetext"], button: elements.play.textContent, theme: document.documentElement.dataset.theme,
    wholeHidden: elements.whole.hidden ?? false,
  }));
}
const states = [state()];
for (const [name, event] of JSON.parse(actions ?? "[]")) {
  let prevented = false;
  const on = { ...event, target: elements[event.on] ?? document, preventDefault() { prevented = true; } };
  for (const listener of listeners[name]) listener(on);
  for (const listener of listeners["audio seeked"]) listener();
  states.push({ ...state(), prevented });
}
console.log(JSON.stringify(states));
