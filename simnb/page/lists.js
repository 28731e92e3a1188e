// The views beside the map: all images, mistakes, and what was found in the collection.

import { confusions, counted, holding, plain } from "./answers.js";
import { growing, pair, tile } from "./tiles.js";
import { make } from "../widgets/projector.js";

const MANY = 240;
const PAIRS = 60;

/** A view of a list, with a sentence above it. */
function view(sentence, ...rest) {
  const box = make("div", "simnb-list");
  box.append(make("p", "simnb-sentence", sentence), ...rest);
  return box;
}

export function allImages(page) {
  const hint = page.labelled ? "Find by name or class" : "Find by name";
  const kind = { type: "search", placeholder: hint, "aria-label": hint };
  const search = make("input", "simnb-find", "", kind);
  const found = make("div");
  const texts = page.details.map((line, i) => plain(`${page.title(i)} ${line}`));
  const box = view("", search, found);
  const fill = () => {
    const selected = new Set(page.map.selection());
    const images = holding(search.value, texts).filter((i) => !selected.size || selected.has(i));
    const which = selected.size ? ", of those selected on the map" : "";
    box.firstChild.textContent = `${counted(images.length, "image")}${which}. Click one to see what it is most like.`;
    found.replaceChildren(growing(images, (i) => tile(page, i), MANY));
    page.refresh();
  };
  search.addEventListener("input", fill);
  page.model.on("change:selection", fill);
  fill();
  return box;
}

export function wrongNeighbors(page, all) {
  const of = (i) => page.near(i)[0];
  const select = make("select", "simnb-confusion", "", { "aria-label": "Which mistakes to show" });
  select.append(new Option(`all ${all.length.toLocaleString("en")}`, ""));
  for (const [own, other, count] of confusions(all, page.labels, (i) => of(i)[0])) {
    select.append(new Option(`${page.className(own)} → ${page.className(other)} (${count})`, `${own} ${other}`));
  }
  const found = make("div");
  const fill = () => {
    const wanted = (i) => !select.value || select.value === `${page.labels[i]} ${page.labels[of(i)[0]]}`;
    const build = (i) => {
      const [other, distance] = of(i);
      return pair(page, i, other, page.apart(distance), { mark: "wrong", distance });
    };
    found.replaceChildren(growing(all.filter(wanted), build, PAIRS, "simnb-pairs"));
    page.refresh();
  };
  select.addEventListener("change", fill);
  const box = view("Images whose nearest neighbor is of another class, the most alike first.", select, found);
  fill();
  return box;
}

export function duplicateGroups(page, { sentence, groups }) {
  const build = (members) => {
    const box = make("section", "simnb-group");
    const labels = new Set(members.map(([i]) => page.labels[i]));
    const differ = labels.size > 1 ? ", of different classes" : "";
    box.append(make("h3", "", `${counted(members.length, "image")}${differ}`));
    const tiles = make("div", "simnb-tiles");
    const notes = (i, distance) => [...(page.labelled ? [page.file(i)] : []), page.apart(distance)];
    tiles.append(...members.map(([i, distance]) => tile(page, i, { notes: notes(i, distance) })));
    box.append(tiles);
    return box;
  };
  return view(sentence, growing(groups, build, PAIRS, "simnb-groups"));
}

export function leaksFound(page, { sentence, finds }) {
  const build = ([one, part, other, earlier, distance]) =>
    pair(page, one, other, page.apart(distance), { notes: [[`in ${part}`], [`also in ${earlier}`]] });
  const words = "Images of one part that are nearly the same as one of an earlier part.";
  return view(`${words} ${sentence}`, growing(finds, build, PAIRS, "simnb-pairs"));
}

export function labelsToCheck(page, { sentence, candidates }) {
  const build = ([i, suggested, votes, own]) =>
    tile(page, i, { notes: [`rather ${suggested}?`, `neighbors ${votes} to ${own}`] });
  return view(sentence, growing(candidates, build, MANY));
}
