// A widget on a page of its own: what anywidget's model does, without a kernel behind it.

const root = document.documentElement;
root.dataset.theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
document.querySelector(".simnb-theme").addEventListener("click", () => {
  root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
});

function bytes(text) {
  return new DataView(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
}

const revive = (key, value) => (value && value.base64 !== undefined ? bytes(value.base64) : value);
const state = JSON.parse(document.getElementById("state").textContent, revive);
const listeners = new Map();
const model = {
  get: (name) => state[name],
  set(name, value) {
    state[name] = value;
    (listeners.get(`change:${name}`) ?? []).forEach((listener) => listener());
  },
  save_changes() {},
  send() {},
  on: (name, listener) => listeners.set(name, [...(listeners.get(name) ?? []), listener]),
  off: (name, listener) => listeners.set(name, (listeners.get(name) ?? []).filter((one) => one !== listener)),
};
widget.render({ model, el: document.getElementById("widget") });
