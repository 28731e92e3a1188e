// Where points of the map lie on the screen, and which of them lie somewhere. No document in here.
// A map is the unit square, y upwards; a view {scale, x, y} puts its origin at (x, y) on the screen, y downwards.

export const ZOOM = 200; // at most, over the view that shows the whole map

/** The view that uses the whole width and height for points within bounds {left, right, bottom, top}. */
export function fittedTo(bounds, width, height, margin = 18) {
  const across = Math.max(bounds.right - bounds.left, 1e-6);
  const up = Math.max(bounds.top - bounds.bottom, 1e-6);
  const room = Math.max(Math.min((width - 2 * margin) / across, (height - 2 * margin) / up), 10);
  const scale = Math.min(room, 4 * Math.max(width, height)); // one point, or equal ones: no endless zoom
  return {
    scale,
    x: width / 2 - (scale * (bounds.left + bounds.right)) / 2,
    y: height / 2 + (scale * (bounds.bottom + bounds.top)) / 2,
  };
}

/** Bounds of points [x0, y0, x1, y1, ...]; the unit square where there is none. */
export function boundsOf(points) {
  if (points.length === 0) return { left: 0, right: 1, bottom: 0, top: 1 };
  const bounds = { left: Infinity, right: -Infinity, bottom: Infinity, top: -Infinity };
  for (let i = 0; i < points.length; i += 2) {
    bounds.left = Math.min(bounds.left, points[i]);
    bounds.right = Math.max(bounds.right, points[i]);
    bounds.bottom = Math.min(bounds.bottom, points[i + 1]);
    bounds.top = Math.max(bounds.top, points[i + 1]);
  }
  return bounds;
}

export function toScreen(view, x, y) {
  return [view.x + x * view.scale, view.y - y * view.scale];
}

export function toMap(view, x, y) {
  return [(x - view.x) / view.scale, (view.y - y) / view.scale];
}

export function panned(view, dx, dy) {
  return { scale: view.scale, x: view.x + dx, y: view.y + dy };
}

/** The view moved so far that a point of the map lies inside the screen; itself where it does already. */
export function revealed(view, x, y, { width, height }, margin = 30) {
  const [sx, sy] = toScreen(view, x, y);
  const into = (at, size) => Math.min(Math.max(at, Math.min(margin, size / 2)), Math.max(size - margin, size / 2));
  const dx = into(sx, width) - sx;
  const dy = into(sy, height) - sy;
  return dx || dy ? panned(view, dx, dy) : view;
}

/**
 * Where a tip goes: beside a place on the screen, or above or below it, inside the screen, and over as few of
 * other places as can be; right where nothing speaks against it. Its left and top.
 */
export function beside([x, y], tip, screen, others = [], gap = 16) {
  const held = (at, length, size) => Math.max(Math.min(at, size - length - 4), 2);
  const candidates = [
    [x + gap, y - tip.height / 2],
    [x - gap - tip.width, y - tip.height / 2],
    [x - tip.width / 2, y - gap - tip.height],
    [x - tip.width / 2, y + gap],
  ].map(([left, top]) => [held(left, tip.width, screen.width), held(top, tip.height, screen.height)]);
  const covers = ([left, top], [a, b]) =>
    a >= left && a <= left + tip.width && b >= top && b <= top + tip.height;
  const cost = (at) =>
    others.filter((other) => covers(at, other)).length + (covers(at, [x, y]) ? others.length + 1 : 0);
  return candidates.reduce((best, at) => (cost(at) < cost(best) ? at : best));
}

/** Zoomed by a factor about a point of the screen, which keeps its place; `whole` is the scale of the whole map. */
export function zoomed(view, factor, x, y, whole) {
  const scale = Math.min(Math.max(view.scale * factor, whole / 4), whole * ZOOM);
  const f = scale / view.scale;
  return { scale, x: x - (x - view.x) * f, y: y - (y - view.y) * f };
}

/** The shown point nearest to a place on the screen, within `radius` pixels; -1 where there is none. */
export function pick(points, shown, view, x, y, radius) {
  const [mx, my] = toMap(view, x, y);
  let best = (radius / view.scale) ** 2;
  let found = -1;
  for (let i = 0; i < shown.length; i++) {
    if (!shown[i]) continue;
    const dx = points[2 * i] - mx;
    const dy = points[2 * i + 1] - my;
    const d = dx * dx + dy * dy;
    if (d <= best) {
      best = d;
      found = i;
    }
  }
  return found;
}

/** The shown point to walk to from point `from` in a direction [dx, dy] of the screen; `from` where there is none. */
export function next(points, shown, from, [dx, dy]) {
  let best = Infinity;
  let found = from;
  for (let i = 0; i < shown.length; i++) {
    if (!shown[i] || i === from) continue;
    const x = points[2 * i] - points[2 * from];
    const y = points[2 * i + 1] - points[2 * from + 1];
    const along = x * dx - y * dy;
    const aside = Math.abs(x * dy + y * dx);
    if (along <= 0 || aside > 1.2 * along) continue;
    const cost = along + 2 * aside;
    if (cost < best) {
      best = cost;
      found = i;
    }
  }
  return found;
}

/** Whether (x, y) is inside a polygon [[x, y], ...], by the even-odd rule. */
export function inside(polygon, x, y) {
  let within = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
    const [xi, yi] = polygon[i];
    const [xj, yj] = polygon[j];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) within = !within;
  }
  return within;
}

/** Positions of the shown points inside a polygon of the screen, ascending. */
export function within(points, shown, view, polygon) {
  const onMap = polygon.map(([x, y]) => toMap(view, x, y));
  const flat = new Float64Array(onMap.flat());
  const { left, right, bottom, top } = boundsOf(flat);
  const found = [];
  if (polygon.length < 3) return found;
  for (let i = 0; i < shown.length; i++) {
    const x = points[2 * i];
    const y = points[2 * i + 1];
    if (!shown[i] || x < left || x > right || y < bottom || y > top) continue;
    if (inside(onMap, x, y)) found.push(i);
  }
  return found;
}

/** The corners of the box between two places. */
export function box([x0, y0], [x1, y1]) {
  return [
    [x0, y0],
    [x1, y0],
    [x1, y1],
    [x0, y1],
  ];
}

/** Radius of a point in pixels, by how many there are and how far the map is zoomed. */
export function radiusOf(count, width, height, zoom) {
  const radius = 0.32 * Math.sqrt((width * height) / Math.max(count, 1));
  const least = count > 20000 ? 1.5 : 2;
  return Math.min(Math.max(radius, least), 5) * Math.min(Math.max(zoom, 1) ** 0.3, 2.4);
}

/** Offsets [dx, dy, kind, ...] of the pixels of a mark; kind 1 inside, 2 on its edge. */
export function stamp(shape, radius, hollow = false) {
  const reach = Math.ceil(radius * 1.3);
  const offsets = [];
  const far = (dx, dy) =>
    shape === "diamond" ? (Math.abs(dx) + Math.abs(dy)) / 1.3 : Math.sqrt(dx * dx + dy * dy);
  for (let dy = -reach; dy <= reach; dy++) {
    for (let dx = -reach; dx <= reach; dx++) {
      const d = far(dx, dy);
      if (d > radius) continue;
      if (hollow && d < radius - Math.max(radius * 0.42, 1)) continue;
      offsets.push(dx, dy, d > radius - 0.8 && !hollow ? 2 : 1);
    }
  }
  return Int16Array.from(offsets);
}
