// The triplet loss over all triplets of angles on a circle, and how it would turn each point.

/** Angles in radians, labels and a margin: the loss, its triplets, and each point's pull and push. */
export function measured(angles, labels, margin) {
  const count = angles.length;
  const distance = (i, j) => 1 - Math.cos(angles[i] - angles[j]);
  const weight = Array.from({ length: count }, () => new Float64Array(count));
  let [sum, triplets, above] = [0, 0, 0];
  for (let a = 0; a < count; a++) {
    for (let p = 0; p < count; p++) {
      if (p === a || labels[p] !== labels[a]) continue;
      for (let n = 0; n < count; n++) {
        if (labels[n] === labels[a]) continue;
        triplets += 1;
        const gap = distance(a, p) - distance(a, n) + margin;
        if (gap <= 0) continue;
        above += 1;
        sum += gap;
        weight[a][p] += 1;
        weight[p][a] += 1;
        weight[a][n] -= 1;
        weight[n][a] -= 1;
      }
    }
  }
  const all = Math.max(triplets, 1);
  const turn = (i, kept) =>
    weight[i].reduce((total, w, j) => (kept(w) ? total + (w / all) * Math.sin(angles[j] - angles[i]) : total), 0);
  const every = Array.from({ length: count }, (_, i) => i);
  const pull = every.map((i) => turn(i, (w) => w > 0));
  const push = every.map((i) => turn(i, (w) => w < 0));
  return { loss: sum / all, triplets, above, pull, push };
}

/** The angles after one step of gradient descent. */
export function stepped(angles, { pull, push }, rate) {
  return angles.map((angle, i) => angle + rate * (pull[i] + push[i]));
}

/** Of how many points the nearest other one is of their class. */
export function nearestRight(angles, labels) {
  return angles.filter((angle, i) => {
    let [best, nearest] = [-1, -Infinity];
    angles.forEach((other, j) => {
      const near = Math.cos(angle - other);
      if (j !== i && near > nearest) [best, nearest] = [j, near];
    });
    return best >= 0 && labels[best] === labels[i];
  }).length;
}

/** Where negatives of an anchor are hard, semi-hard and easy, in radians from it, for its farthest positive. */
export function zones(angles, labels, anchor, margin) {
  const others = angles.filter((_, j) => j !== anchor && labels[j] === labels[anchor]);
  if (!others.length) return [];
  const far = Math.max(...others.map((other) => 1 - Math.cos(other - angles[anchor])));
  const [hard, semi] = [far, far + margin].map((d) => Math.acos(Math.max(1 - d, -1)));
  return [["hard", 0, hard], ["semi-hard", hard, semi], ["easy", semi, Math.PI]].filter(([, low, high]) => high > low);
}

/** An angle in degrees, from 0 up to 360. */
export function degrees(angle) {
  const turned = Math.round((angle * 180) / Math.PI) % 360;
  return turned < 0 ? turned + 360 : turned + 0;
}
