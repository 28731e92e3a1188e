import assert from "node:assert/strict";
import test from "node:test";

import * as geometry from "../../simnb/widgets/geometry.js";
import { GROUND, classColor, mixed, pixel, ramp, rgb } from "../../simnb/widgets/colors.js";

const POINTS = Float32Array.from([0, 0, 1, 0, 0.5, 0.5, 0.25, 1]);
const ALL = new Uint8Array([1, 1, 1, 1]);
const VIEW = { scale: 100, x: 10, y: 120 };

const close = (a, b) => assert.ok(Math.abs(a - b) < 1e-9, `${a} is not ${b}`);

test("a place on the screen and on the map are each other's inverse", () => {
  const [x, y] = geometry.toScreen(VIEW, 0.3, 0.8);
  assert.deepEqual([x, y], [40, 40]);
  const [mx, my] = geometry.toMap(VIEW, x, y);
  close(mx, 0.3);
  close(my, 0.8);
});

test("up on the map is up on the screen", () => {
  assert.ok(geometry.toScreen(VIEW, 0, 1)[1] < geometry.toScreen(VIEW, 0, 0)[1]);
});

test("the whole map fits, with its margin, and is in the middle", () => {
  const view = geometry.fittedTo(geometry.boundsOf(POINTS), 400, 300, 20);
  const corners = [geometry.toScreen(view, 0, 0), geometry.toScreen(view, 1, 1)];
  close(corners[0][1], 280);
  close(corners[1][1], 20);
  close((corners[0][0] + corners[1][0]) / 2, 200);
});

test("one point, equal points and none have a view of finite scale", () => {
  for (const points of [[0.5, 0.5], [0.2, 0.2, 0.2, 0.2], []]) {
    const view = geometry.fittedTo(geometry.boundsOf(Float32Array.from(points)), 400, 300);
    assert.ok(Number.isFinite(view.scale) && view.scale <= 1600);
    assert.ok(Number.isFinite(view.x) && Number.isFinite(view.y));
  }
});

test("a zoom keeps the point under the pointer where it is", () => {
  const before = geometry.toMap(VIEW, 77, 33);
  const view = geometry.zoomed(VIEW, 1.7, 77, 33, 100);
  close(view.scale, 170);
  const after = geometry.toMap(view, 77, 33);
  close(after[0], before[0]);
  close(after[1], before[1]);
});

test("a zoom ends at its limits", () => {
  assert.equal(geometry.zoomed(VIEW, 1e9, 0, 0, 100).scale, 100 * geometry.ZOOM);
  assert.equal(geometry.zoomed(VIEW, 1e-9, 0, 0, 100).scale, 25);
});

test("a point outside the screen is brought inside it, and the map stays where one is seen", () => {
  const screen = { width: 300, height: 200 };
  assert.equal(geometry.revealed(VIEW, 0.5, 0.5, screen), VIEW);
  for (const [x, y] of [[9, 0.5], [-9, 0.5], [0.5, 9], [0.5, -9], [9, 9]]) {
    const view = geometry.revealed(VIEW, x, y, screen);
    assert.equal(view.scale, VIEW.scale);
    const [sx, sy] = geometry.toScreen(view, x, y);
    assert.ok(sx >= 30 - 1e-9 && sx <= 270 + 1e-9 && sy >= 30 - 1e-9 && sy <= 170 + 1e-9, `${sx}, ${sy}`);
  }
  const tiny = geometry.revealed(VIEW, 9, 9, { width: 20, height: 20 });
  assert.deepEqual(geometry.toScreen(tiny, 9, 9).map(Math.round), [10, 10]);
});

test("a tip stands at the right, elsewhere where that hides something, and never outside", () => {
  const screen = { width: 400, height: 300 };
  const tip = { width: 100, height: 60 };
  assert.deepEqual(geometry.beside([100, 150], tip, screen), [116, 120]);
  assert.deepEqual(geometry.beside([390, 150], tip, screen), [274, 120]); // no room at the right
  assert.deepEqual(geometry.beside([150, 150], tip, screen, [[200, 150]]), [34, 120]);
  const [left, top] = geometry.beside([10, 150], tip, screen, [[60, 150], [70, 150]]);
  assert.ok(top + 60 < 150 && left >= 2); // neither side: above
  for (const at of [[0, 0], [400, 300], [400, 0]]) {
    const [x, y] = geometry.beside(at, tip, screen);
    assert.ok(x >= 2 && x + 100 <= 400 && y >= 2 && y + 60 <= 300);
  }
  assert.deepEqual(geometry.beside([5, 5], { width: 500, height: 500 }, screen), [2, 2]);
});

test("the nearest shown point within reach is picked", () => {
  assert.equal(geometry.pick(POINTS, ALL, VIEW, 62, 71, 10), 2);
  assert.equal(geometry.pick(POINTS, ALL, VIEW, 62, 90, 10), -1);
  assert.equal(geometry.pick(POINTS, new Uint8Array([1, 1, 0, 1]), VIEW, 62, 71, 200), 3);
  assert.equal(geometry.pick(POINTS, ALL, VIEW, 5000, 5000, Infinity), 1);
  assert.equal(geometry.pick(new Float32Array(0), new Uint8Array(0), VIEW, 0, 0, 10), -1);
});

test("the next point lies in the direction of the arrow", () => {
  assert.equal(geometry.next(POINTS, ALL, 0, [1, 0]), 1);
  assert.equal(geometry.next(POINTS, ALL, 1, [0, -1]), 2);
  assert.equal(geometry.next(POINTS, ALL, 3, [0, -1]), 3); // nothing above it
  assert.equal(geometry.next(POINTS, new Uint8Array([1, 0, 1, 1]), 0, [1, 0]), 2);
});

test("a lasso holds what is inside it, even where it is not convex", () => {
  // A U, whose opening is upwards, around (0.5, 0.5) but not over it.
  const u = [[0, 0], [100, 0], [100, 130], [70, 130], [70, 20], [30, 20], [30, 130], [0, 130]];
  assert.deepEqual(geometry.within(POINTS, ALL, VIEW, u), [0, 3]);
  assert.equal(geometry.inside([[0, 0], [4, 0], [4, 4], [0, 4]], 2, 2), true);
  assert.equal(geometry.inside([[0, 0], [4, 0], [4, 4], [0, 4]], 5, 2), false);
});

test("hidden points are in no lasso, and two corners make none", () => {
  const all = geometry.box([-1000, -1000], [1000, 1000]);
  assert.deepEqual(geometry.within(POINTS, ALL, VIEW, all), [0, 1, 2, 3]);
  assert.deepEqual(geometry.within(POINTS, new Uint8Array([0, 1, 0, 1]), VIEW, all), [1, 3]);
  assert.deepEqual(geometry.within(POINTS, ALL, VIEW, all.slice(0, 2)), []);
});

test("a box may be drawn from any corner", () => {
  const one = geometry.within(POINTS, ALL, VIEW, geometry.box([0, 0], [65, 75]));
  const other = geometry.within(POINTS, ALL, VIEW, geometry.box([65, 75], [0, 0]));
  assert.deepEqual(one, [2, 3]);
  assert.deepEqual(other, one);
});

test("points are smaller where there are more, and grow a little with the zoom", () => {
  const radius = (count, zoom = 1) => geometry.radiusOf(count, 700, 480, zoom);
  assert.ok(radius(100) > radius(10000) && radius(10000) > radius(60000));
  assert.ok(radius(60000) >= 1.5 && radius(1) <= 5);
  assert.ok(radius(1000, 50) > radius(1000) && radius(1000, 50) < 3 * radius(1000));
});

test("discs and diamonds are whole, symmetric, and different", () => {
  const pixels = (shape, hollow) => {
    const flat = geometry.stamp(shape, 4, hollow);
    return new Set(Array.from({ length: flat.length / 3 }, (_, i) => `${flat[3 * i]},${flat[3 * i + 1]}`));
  };
  const disc = pixels("disc", false);
  const diamond = pixels("diamond", false);
  assert.ok(disc.has("0,0") && disc.has("4,0") && !disc.has("4,4"));
  assert.ok(diamond.has("5,0") && !diamond.has("3,3"));
  assert.ok(disc.has("2,3") && !pixels("disc", true).has("0,0"));
  for (const pixel of disc) assert.ok(disc.has(pixel.split(",").map((v) => -v).join(",").replace(/-0/g, "0")));
});

test("colours go over into one another", () => {
  assert.deepEqual(rgb("#0172ff"), [1, 114, 255]);
  assert.equal(mixed("#000000", "#ffffff", 0), "#000000");
  assert.equal(mixed("#000000", "#ffffff", 1), "#ffffff");
  assert.equal(pixel("#010203"), 0xff030201);
});

test("near shines on a dark ground and is dark on a light one, and values beyond the ends are drawn", () => {
  const light = (hex) => rgb(hex).reduce((a, b) => a + b);
  assert.ok(light(ramp(0, "dark")) > light(ramp(1, "dark")));
  assert.ok(light(ramp(0, "light")) < light(ramp(1, "light")));
  assert.equal(ramp(7, "light"), ramp(1, "light"));
  assert.equal(ramp(-7, "light"), ramp(0, "light"));
});

test("every distance can be seen on its ground", () => {
  const luminance = (hex) => {
    const [r, g, b] = rgb(hex).map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  for (const theme of ["light", "dark"]) {
    for (let value = 0; value <= 1; value += 0.05) {
      const [low, high] = [luminance(ramp(value, theme)), luminance(GROUND[theme])].sort((a, b) => a - b);
      assert.ok((high + 0.05) / (low + 0.05) >= 2, `${theme} ${value}: ${(high + 0.05) / (low + 0.05)}`);
    }
  }
});

test("more classes than colours begin anew", () => {
  assert.equal(classColor(10, "light"), classColor(0, "light"));
  assert.notEqual(classColor(9, "dark"), classColor(0, "dark"));
});
