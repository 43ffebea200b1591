// The page's data, its audio and its controls; player_draw.js draws.

/** Return the bytes of a script element in base64, and empty it: a long recording is kept once. */
function decoded(id) {
  const holder = document.getElementById(id), text = atob(holder.textContent), bytes = new Uint8Array(text.length);
  for (let k = 0; k < text.length; k++) bytes[k] = text.charCodeAt(k);
  holder.textContent = "";
  return bytes;
}

const film = JSON.parse(document.getElementById("data").textContent);
const HEADER_BYTES = 44, sound = decoded("audio"), samplesPerS = film.audioRateHz;
const samples = new Int16Array(sound.buffer, HEADER_BYTES, (sound.length - HEADER_BYTES) >> 1);
const measured = new Int16Array(decoded("points").buffer);
const predicted = film.hasPredicted ? new Int16Array(decoded("predicted").buffer) : null;
const audio = new Audio(URL.createObjectURL(new Blob([sound], { type: "audio/wav" })));
const [plane, wave, whole, play, seek, clock, speed, flip, theme] =
  ["plane", "wave", "whole", "play", "seek", "clock", "speed", "flip", "theme"].map((id) => document.getElementById(id));
const root = document.documentElement, prefersDark = window.matchMedia("(prefers-color-scheme: dark)");
const STEP_S = 0.02, LONG_STEP_S = 0.1, PAGE_S = 1;

let flipped = false, beginS = 0, shownS = 0, detail = {}, all = [], sides = {}, colours = {};
const loudest = samples.reduce((greatest, one) => Math.max(greatest, Math.abs(one)), 1);

/** Return a colour by the name that it has in the page's style. */
function colour(name) {
  return colours[name] ??= window.getComputedStyle(root).getPropertyValue(`--${name}`).trim();
}

const isDark = () => root.dataset.theme ? root.dataset.theme === "dark" : prefersDark.matches;

/** Take what the address asks for, such as page.html#t=1.5&flip&theme=dark. */
function readAddress() {
  const asked = new URLSearchParams(window.location.hash.slice(1));
  flipped = asked.has("flip");
  if (["dark", "light"].includes(asked.get("theme"))) root.dataset.theme = asked.get("theme");
  if (asked.has("t")) goTo(Number(asked.get("t")) || 0);
}

/** Keep in the address how the page is looked at, so that reloading it keeps that too. */
function writeAddress() {
  const shown = [flipped ? "flip" : "", root.dataset.theme ? `theme=${root.dataset.theme}` : ""].filter(Boolean).join("&");
  try {
    window.history.replaceState(null, "", `#${shown}`);
  } catch { /* some browsers do not allow it for files */ }
}

function draw() {
  const timeS = audio.currentTime, phone = film.phones.find(([, start, end]) => start <= timeS && timeS < end);
  drawPlane(timeS);
  drawWave(timeS);
  seek.value = timeS;
  const spoken = audio.paused ? `${timeS.toFixed(2)} seconds` : `${Math.floor(timeS)} seconds`;  // not at every picture
  seek.setAttribute("aria-valuetext", audio.paused && phone?.[0] ? `${spoken}, ${phone[0]}` : spoken);
  clock.textContent = `${timeS.toFixed(2)} / ${film.durationS.toFixed(2)} s`;
  play.textContent = audio.paused ? "play" : "pause";
  flip.setAttribute("aria-pressed", `${flipped}`);
  theme.setAttribute("aria-pressed", `${isDark()}`);
}

let following = false;

function follow() {
  draw();
  if (audio.paused || following) return;
  following = true;
  requestAnimationFrame(() => { following = false; follow(); });
}

function goTo(timeS) {
  audio.currentTime = Math.min(Math.max(timeS, 0), film.durationS);
}

function toggle() {
  if (audio.paused) audio.play()?.catch?.((error) => { clock.textContent = `cannot play: ${error.message}`; });
  else audio.pause();
}

/** Go where a canvas is pressed, and follow while it is. */
function scrubs(canvas, timeAt) {
  const go = (event) => goTo(timeAt(event.offsetX / canvas.clientWidth));
  canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); go(event); });
  canvas.addEventListener("pointermove", (event) => { if (event.buttons & 1) go(event); });
}

function repaint() {
  colours = {};
  draw();
}

/** Handle keys of the whole page. What Space and arrows do to a control that takes them itself is left to it. */
function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const on = event.target, step = event.shiftKey ? LONG_STEP_S : STEP_S;
  const steps = { ArrowLeft: -step, ArrowRight: step };
  if (on === seek) Object.assign(steps, { ArrowDown: -step, ArrowUp: step, PageDown: -PAGE_S, PageUp: PAGE_S,
    Home: -film.durationS, End: film.durationS });
  if (event.key === " ") {
    if (on.matches?.("button, select")) return;
    if (!event.repeat) toggle();
  } else if (event.key in steps && !on.matches?.("select")) goTo(audio.currentTime + steps[event.key]);
  else return;
  event.preventDefault();
}

play.addEventListener("click", toggle);
seek.addEventListener("input", () => goTo(Number(seek.value)));
speed.addEventListener("change", () => { audio.playbackRate = Number(speed.value); });
flip.addEventListener("click", () => { flipped = !flipped; sides = {}; writeAddress(); draw(); });
theme.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; writeAddress(); repaint(); });
prefersDark.addEventListener("change", repaint);
scrubs(wave, (share) => beginS + share * shownS);
scrubs(whole, (share) => share * film.durationS);
document.addEventListener("keydown", onKey);
// A control that was used by mouse gives the keyboard back: Space after it plays, and does not press it again.
let byMouse = false;
document.addEventListener("pointerdown", (event) => { byMouse = event.pointerType !== undefined; });
document.addEventListener("keydown", () => { byMouse = false; }, true);
for (const control of [flip, theme]) control.addEventListener("click", () => { if (byMouse) control.blur(); });
speed.addEventListener("change", () => { if (byMouse) speed.blur(); });
for (const name of ["play", "pause", "seeked", "ended", "loadedmetadata"]) audio.addEventListener(name, follow);
window.addEventListener("resize", draw);
seek.max = film.durationS;
readAddress();
draw();
