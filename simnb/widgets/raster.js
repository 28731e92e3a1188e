// Thousands of points, written pixel by pixel: faster than as many paths, and needs no WebGL.

import { stamp } from "./geometry.js";

export class Raster {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.drawn = 0;
  }

  resize(width, height, ratio) {
    this.ratio = ratio;
    this.canvas.width = Math.max(Math.round(width * ratio), 1);
    this.canvas.height = Math.max(Math.round(height * ratio), 1);
    this.image = this.context.createImageData(this.canvas.width, this.canvas.height);
    this.pixels = new Uint32Array(this.image.data.buffer);
  }

  /** Offsets of a mark's pixels, in this canvas: those inside, then those on its edge. */
  offsets({ shape, radius, hollow }) {
    const flat = stamp(shape, radius * this.ratio, hollow);
    const parts = { core: [], edge: [], reach: Math.ceil(radius * this.ratio * 1.3) };
    for (let j = 0; j < flat.length; j += 3) {
      (flat[j + 2] === 2 ? parts.edge : parts.core).push(flat[j + 1] * this.canvas.width + flat[j]);
    }
    return { core: Int32Array.from(parts.core), edge: Int32Array.from(parts.edge), reach: parts.reach };
  }

  /**
   * Draw points in an order, later ones over earlier ones.
   * marks: the mark of each kind; kinds, cores, edges: kind and two colours of each point.
   */
  draw(points, view, { order, marks, kinds, cores, edges, ground }) {
    const { pixels, ratio } = this;
    const { width, height } = this.canvas;
    pixels.fill(ground);
    const stamps = marks.map((mark) => this.offsets(mark));
    this.drawn = 0;
    for (let at = 0; at < order.length; at++) {
      const i = order[at];
      const x = Math.round((view.x + points[2 * i] * view.scale) * ratio);
      const y = Math.round((view.y - points[2 * i + 1] * view.scale) * ratio);
      const { core, edge, reach } = stamps[kinds[i]];
      if (x < reach || y < reach || x >= width - reach || y >= height - reach) continue;
      const base = y * width + x;
      for (let j = 0; j < core.length; j++) pixels[base + core[j]] = cores[i];
      for (let j = 0; j < edge.length; j++) pixels[base + edge[j]] = edges[i];
      this.drawn++;
    }
    this.context.putImageData(this.image, 0, 0);
  }
}
