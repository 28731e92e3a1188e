import assert from "node:assert/strict";
import test from "node:test";

import { degrees, measured, nearestRight, stepped, zones } from "../../simnb/widgets/triplets.js";

const ANGLES = [0.3, 1.9, 4.0, 2.2, 5.1, 3.3, 0.9];
const LABELS = [0, 0, 0, 1, 1, 2, 2];

const close = (a, b, by = 1e-9) => assert.ok(Math.abs(a - b) < by, `${a} is not ${b}`);

test("the loss of one triplet is the gap, both ways of its anchor and positive", () => {
  const { loss, triplets, above } = measured([0, 1, 2.5], [0, 0, 1], 0.4);
  const d = (x) => 1 - Math.cos(x);
  close(loss, (Math.max(d(1) - d(2.5) + 0.4, 0) + Math.max(d(1) - d(1.5) + 0.4, 0)) / 2);
  assert.equal(triplets, 2);
  assert.equal(above, 0 + (d(1) - d(2.5) + 0.4 > 0) + (d(1) - d(1.5) + 0.4 > 0));
});

for (const margin of [0, 0.3, 0.8, 1.7]) {
  test(`pull and push together are minus the gradient, at margin ${margin}`, () => {
    const { pull, push } = measured(ANGLES, LABELS, margin);
    ANGLES.forEach((_, i) => {
      const moved = (by) => measured(ANGLES.map((a, j) => a + (i === j ? by : 0)), LABELS, margin).loss;
      close(pull[i] + push[i], -(moved(1e-6) - moved(-1e-6)) / 2e-6, 1e-6);
    });
  });
}

test("a pull turns towards the positive, a push away from the negative", () => {
  const { pull, push } = measured([0, 1, 0.5], [0, 0, 1], 0.5);
  assert.ok(pull[0] > 0 && pull[1] < 0 && push[0] < 0 && push[1] > 0);
  close(pull[2], 0);
});

test("a heap has the margin as its loss, and is not moved", () => {
  const now = measured([2, 2, 2, 2], [0, 0, 1, 1], 0.7);
  close(now.loss, 0.7);
  assert.deepEqual(stepped([2, 2, 2, 2], now, 1), [2, 2, 2, 2]);
});

test("without triplets the loss is 0", () => {
  for (const labels of [[0, 0], [0, 1]]) assert.equal(measured([0, 1], labels, 0.5).loss, 0);
  assert.equal(measured([], [], 0.5).loss, 0);
});

test("a small step lowers the loss", () => {
  const before = measured(ANGLES, LABELS, 0.5);
  assert.ok(measured(stepped(ANGLES, before, 0.05), LABELS, 0.5).loss < before.loss);
});

test("the nearest other point decides whether a point is right", () => {
  assert.equal(nearestRight([0, 0.1, 3, 3.1], [0, 0, 1, 1]), 4);
  assert.equal(nearestRight([0, 0.1, 3, 3.2], [0, 1, 0, 0]), 2);
  assert.equal(nearestRight([0, 6.2, 3], [0, 0, 1]), 2); // across 0
  assert.equal(nearestRight([1], [0]), 0);
});

test("zones meet at the farthest positive, and end at the margin and opposite", () => {
  const [hard, semi, easy] = zones([0, 0.4, 1, 3], [0, 0, 0, 1], 0, 0.3);
  assert.deepEqual([hard[0], semi[0], easy[0]], ["hard", "semi-hard", "easy"]);
  close(hard[2], 1);
  close(semi[1], 1);
  close(1 - Math.cos(semi[2]), 1 - Math.cos(1) + 0.3);
  close(easy[2], Math.PI);
});

test("a zone without room is left out, as are all without a positive", () => {
  assert.deepEqual(zones([0, 1, 3], [0, 0, 1], 0, 0).map(([name]) => name), ["hard", "easy"]);
  assert.deepEqual(zones([0, 1, 3], [0, 0, 1], 0, 2).map(([name]) => name), ["hard", "semi-hard"]);
  assert.deepEqual(zones([0, 1, 3], [0, 0, 1], 2, 0.5), []);
});

test("degrees are from 0 up to 360", () => {
  assert.deepEqual([0, Math.PI, -Math.PI / 2, 7 * Math.PI, -1e-9, 2 * Math.PI].map(degrees), [0, 180, 270, 180, 0, 0]);
});
