// Day or night, players as high as what they show, and everything unfolded in print.
const root = document.documentElement, theme = document.getElementById("theme");
const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");
const isDark = () => root.dataset.theme ? root.dataset.theme === "dark" : prefersDark.matches;
const frames = [...document.querySelectorAll("iframe")];

/** Give a player the page's colours, by the button that it has for that. */
function paint(frame) {
  const page = frame.contentDocument?.documentElement, button = frame.contentDocument?.getElementById("theme");
  if (!page || !button) return;
  const dark = page.dataset.theme ? page.dataset.theme === "dark" : prefersDark.matches;
  if (dark !== isDark()) button.click();
}

function fit(frame) {
  const body = frame.contentDocument?.body;
  if (body) frame.style.height = `${Math.ceil(body.getBoundingClientRect().height) + 48}px`;
}

function show() {
  theme?.setAttribute("aria-pressed", `${isDark()}`);
  frames.forEach(paint);
}

theme?.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; show(); });
prefersDark.addEventListener("change", show);
for (const frame of frames) {
  const ready = () => { paint(frame); fit(frame); };
  frame.addEventListener("load", ready);
  if (frame.contentDocument?.readyState === "complete") ready();
}
window.addEventListener("resize", () => frames.forEach(fit));

let unfolded = [];
window.addEventListener("beforeprint", () => {
  unfolded = [...document.querySelectorAll("details:not([open])")];
  for (const one of unfolded) one.open = true;
});
window.addEventListener("afterprint", () => { for (const one of unfolded) one.open = false; });
show();
