// The map of simnb.widgets.Projector.

import { ProjectorView } from "./projector.js";

function render({ model, el }) {
  const view = new ProjectorView(model, el);
  return () => view.destroy();
}

export default { render };
