// A place to drop an image file on, to choose one, or to paste one; sends its bytes to Python.

function render({ model, el }) {
  const zone = document.createElement("label");
  zone.className = "simnb-drop";
  const input = document.createElement("input");
  input.type = "file";
  input.accept = "image/*";
  input.setAttribute("aria-label", "Choose an image file");
  const words = document.createElement("span");
  words.textContent = model.get("words");
  zone.append(input, words);
  el.append(zone);

  async function take(file) {
    if (!file) return;
    if (file.size > model.get("max_bytes")) {
      model.send({ kind: "refused", name: file.name, size: file.size });
      return;
    }
    model.send({ kind: "file", name: file.name }, undefined, [await file.arrayBuffer()]);
  }

  const over = (event) => {
    event.preventDefault();
    zone.dataset.over = event.type === "dragover";
  };
  zone.addEventListener("dragover", over);
  zone.addEventListener("dragleave", over);
  zone.addEventListener("drop", (event) => {
    over(event);
    take(event.dataTransfer.files[0]);
  });
  input.addEventListener("change", () => {
    take(input.files[0]);
    input.value = ""; // so that the same file can be chosen again
  });
  zone.addEventListener("paste", (event) => take(event.clipboardData.files[0]));
  return () => zone.remove();
}

export default { render };
