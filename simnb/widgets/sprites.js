// Thumbnails, cut out of sheets that are decoded when one of theirs is first looked at.

export class Sprites {
  constructor(sheets, { size, across }) {
    this.sheets = sheets;
    this.size = size;
    this.across = across;
    this.decoded = new Map();
  }

  has(i) {
    return Math.floor(i / this.across ** 2) < this.sheets.length;
  }

  sheet(number) {
    if (!this.decoded.has(number)) {
      const blob = new Blob([this.sheets[number]], { type: "image/jpeg" });
      this.decoded.set(number, createImageBitmap(blob));
    }
    return this.decoded.get(number);
  }

  /** Draw thumbnail i over the whole of a canvas; tells whether `wanted` still held when it was there. */
  async paint(canvas, i, wanted = () => true) {
    const place = i % this.across ** 2;
    const sheet = await this.sheet(Math.floor(i / this.across ** 2));
    if (!wanted()) return false;
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = canvas.width < this.size; // enlarged ones show their pixels
    context.imageSmoothingQuality = "high";
    const x = (place % this.across) * this.size;
    const y = Math.floor(place / this.across) * this.size;
    context.drawImage(sheet, x, y, this.size, this.size, 0, 0, canvas.width, canvas.height);
    return true;
  }
}
