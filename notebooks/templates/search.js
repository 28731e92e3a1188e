// The search box: looks for what is typed in PAGES, which stands above. Nothing is asked of another machine.
{
  const base = document.currentScript.src;
  const box = document.querySelector(".search");
  const input = box.querySelector("input");
  const list = box.querySelector("ul");
  const entries = PAGES.map(([title, page, about]) => ({
    title, page, about, name: title.toLowerCase(), text: `${title} ${about}`.toLowerCase(),
  }));
  let current = -1;

  // How far a word is from an entry: 0 is its last part, 9 is not there at all.
  const distance = (entry, word) => {
    const parts = entry.name.split(/[\s.,:()]+/);
    if (parts.at(-1) === word || entry.name === word) return 0;
    if (parts.includes(word)) return 1;
    if (parts.some((part) => part.startsWith(word))) return 2;
    return entry.name.includes(word) ? 3 : entry.text.includes(word) ? 6 : 9;
  };
  const find = (words) => entries
    .map((entry) => [words.map((word) => distance(entry, word)), entry])
    .filter(([all]) => Math.max(...all) < 9)
    .map(([all, entry]) => [all.reduce((a, b) => a + b) + entry.title.length / 100, entry])
    .sort(([a], [b]) => a - b).slice(0, 12).map(([, entry]) => entry);

  const line = (entry, i) => {
    const item = document.createElement("li");
    Object.assign(item, { id: `search-found-${i}`, role: "option" });
    const link = item.appendChild(document.createElement("a"));
    Object.assign(link, { href: new URL(entry.page, base).href, tabIndex: -1, textContent: entry.title });
    link.appendChild(document.createElement("small")).textContent = entry.about;
    return item;
  };
  const choose = (i) => {
    current = i;
    [...list.children].forEach((item, j) => item.setAttribute("aria-selected", String(i === j)));
    list.children[i]?.scrollIntoView({ block: "nearest" });
    if (i < 0) input.removeAttribute("aria-activedescendant");
    else input.setAttribute("aria-activedescendant", `search-found-${i}`);
  };
  const show = (open = true) => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = words.length && open ? find(words) : [];
    list.replaceChildren(...found.map(line));
    if (words.length && open && !found.length) list.textContent = "Nothing found";
    list.hidden = !words.length || !open;
    input.setAttribute("aria-expanded", String(!list.hidden));
    choose(found.length ? 0 : -1);
  };

  input.addEventListener("input", () => show());
  input.addEventListener("focus", () => show());
  box.addEventListener("focusout", (event) => box.contains(event.relatedTarget) || show(false));
  input.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const count = list.children.length;
    if (step && count) choose((current + step + count) % count);
    else if (event.key === "Enter") list.children[current]?.firstChild.click();
    else if (event.key === "Escape") input.blur();
    else return;
    event.preventDefault();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target.closest("input, textarea, select")) return;
    event.preventDefault();
    input.focus();
  });
  box.hidden = false;
}
