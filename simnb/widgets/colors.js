// Colours of classes, verdicts and distances, in light and in dark, for every kind of colour vision.

// Paul Tol's "muted" scheme and a grey, as in the figures; lighter ones of the same hues on a dark ground.
export const CLASSES = {
  light: ["#332288", "#CC6677", "#117733", "#88CCEE", "#882255", "#DDCC77", "#44AA99", "#AA4499", "#999933", "#4d4d4d"],
  dark: ["#8f86e8", "#ef8fa0", "#4fb873", "#a8dcf5", "#d76aa0", "#eadf9a", "#66d0bd", "#d97fd3", "#c6c65c", "#b8b8b8"],
};
export const GROUND = { light: "#ffffff", dark: "#16181c" };
export const NONE = { light: "#9a9a9a", dark: "#7d7d7d" };
// Okabe and Ito's blue and vermilion.
export const RIGHT = { light: "#0072B2", dark: "#56B4E9" };
export const WRONG = { light: "#D55E00", dark: "#F28C3A" };
export const ACCENT = { light: "#111111", dark: "#ffffff" };
// Viridis, from near (dark) to far.
const RAMP = ["#440154", "#46327e", "#365c8d", "#277f8e", "#1fa187", "#4ac16d", "#a0da39", "#fde725"];

export function rgb(hex) {
  const number = parseInt(hex.slice(1), 16);
  return [number >> 16, (number >> 8) & 255, number & 255];
}

/** A colour between two, as hex. */
export function mixed(one, other, share) {
  const a = rgb(one);
  const b = rgb(other);
  const parts = a.map((value, i) => Math.round(value + (b[i] - value) * share));
  return "#" + parts.map((value) => value.toString(16).padStart(2, "0")).join("");
}

/** A hex colour as one pixel of ImageData. */
export function pixel(hex) {
  const [r, g, b] = rgb(hex);
  return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
}

/**
 * Colour of a value from 0 to 1; on a dark ground the ramp is turned round, so that near ones shine. The end that
 * is as light or as dark as the ground is left out: far points are what people look for.
 */
export function ramp(value, theme) {
  const clipped = Math.min(Math.max(value, 0), 1);
  const at = (theme === "dark" ? 1 - 0.75 * clipped : 0.76 * clipped) * (RAMP.length - 1);
  const low = Math.min(Math.floor(at), RAMP.length - 2);
  return mixed(RAMP[low], RAMP[low + 1], at - low);
}

export function classColor(position, theme) {
  return CLASSES[theme][position % CLASSES[theme].length];
}
