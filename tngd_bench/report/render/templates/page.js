"use strict";
(() => {
  const root = document.documentElement;
  const store = {
    get: () => { try { return localStorage.getItem("tngd-bench-theme"); } catch { return null; } },
    set: (value) => { try { localStorage.setItem("tngd-bench-theme", value); } catch { /* a file page may have no storage */ } },
  };

  // Theme: the system's, until the reader chooses.
  const dark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const toggle = document.getElementById("theme");
  const tell = () => { toggle.setAttribute("aria-pressed", String(dark())); toggle.textContent = dark() ? "Light theme" : "Dark theme"; };
  const kept = store.get();
  if (kept === "dark" || kept === "light") root.dataset.theme = kept;
  toggle.hidden = false;
  tell();
  toggle.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; store.set(root.dataset.theme); tell(); });

  // Contents: folded where the page is narrow, until asked for, and again once a section is chosen.
  const contents = document.querySelector("nav details");
  const narrow = matchMedia("(max-width: 72rem)");
  const fold = () => { contents.open = !narrow.matches; };
  narrow.addEventListener("change", fold);
  contents.addEventListener("click", (event) => { if (event.target.matches("a")) fold(); });
  fold();

  // Tables: sort by a column, keep the rows that contain every word.
  const keyOf = (row, column) => {
    const cell = row.children[column];
    const number = cell.dataset.sort;
    return number === undefined ? cell.textContent.trim().toLowerCase() : Number(number);
  };
  const compare = (a, b) => {
    if (typeof a === "number" && typeof b === "number") return a - b;
    if (typeof a === "number") return -1;
    if (typeof b === "number") return 1;
    return a.localeCompare(b);
  };
  for (const block of document.querySelectorAll(".table")) {
    const table = block.querySelector("table");
    const body = table.tBodies[0];
    const rows = [...body.rows];
    if (rows.length < 2) continue;
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        // What has no number stays last in both directions.
        const keyed = rows.map((row, place) => ({ row, place, key: keyOf(row, column), none: row.children[column].dataset.none !== undefined }));
        keyed.sort((a, b) => (a.none - b.none) || (up ? 1 : -1) * compare(a.key, b.key) || a.place - b.place);
        body.append(...keyed.map((entry) => entry.row));
      });
    });
    if (rows.length < 5) continue;
    const tools = block.querySelector(".tools");
    const label = document.createElement("label");
    label.textContent = "Filter rows ";
    const input = document.createElement("input");
    input.type = "search";
    const count = document.createElement("span");
    count.setAttribute("role", "status");
    count.className = "count";
    count.textContent = `${rows.length} rows`;
    label.append(input);
    tools.append(label, count);
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        shown += row.hidden ? 0 : 1;
      }
      count.textContent = words.length ? `${shown} of ${rows.length} rows` : `${rows.length} rows`;
    });
  }

  // Appendix: of several figures the reader chooses one; a link into what is folded or hidden shows it.
  for (const charts of document.querySelectorAll("#appendix > details > .charts")) {
    const figures = [...charts.children].filter((child) => child.matches("figure"));
    if (figures.length < 3) continue;
    const label = document.createElement("label");
    label.className = "chooser";
    const select = document.createElement("select");
    const all = new Option(`All ${figures.length} figures`, "");
    select.append(...figures.map((figure) => new Option(figure.firstElementChild.textContent, figure.id)), all);
    label.append("Figure ", select);
    charts.before(label);
    const choose = () => { for (const figure of figures) figure.hidden = select.value !== "" && figure.id !== select.value; };
    select.addEventListener("change", choose);
    charts.addEventListener("reveal", (event) => { select.value = event.target.id; choose(); });
    choose();
  }
  const reveal = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    target.dispatchEvent(new Event("reveal", { bubbles: true }));
    for (let place = target.closest("details"); place; place = place.parentElement.closest("details")) place.open = true;
    target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  if (location.hash) reveal();

  // What-if: the map again, with another link, time constant, word length, analog time or upload.
  const data = document.getElementById("explorer-data");
  const panel = document.getElementById("explorer");
  if (!data || !panel) return;
  const known = JSON.parse(data.textContent);
  panel.hidden = false;
  const field = (name) => panel.querySelector(`[name="${name}"]`);
  const shown = (name) => panel.querySelector(`[data-for="${name}"]`);
  const svg = panel.querySelector("svg");
  const columns = known.sizes.length, lines = known.values.length;
  const cells = [];
  for (let row = lines - 1; row >= 0; row -= 1) {
    for (let column = 0; column < columns; column += 1) {
      const box = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      box.setAttribute("x", String(64 + column * 21));
      box.setAttribute("y", String(10 + (lines - 1 - row) * 18));
      box.setAttribute("width", "21");
      box.setAttribute("height", "18");
      const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
      box.append(title);
      svg.append(box);
      cells.push({ place: row * columns + column, row, column, box, title });
    }
  }
  const dots = document.createElementNS("http://www.w3.org/2000/svg", "path");
  dots.setAttribute("class", "dots");
  svg.append(dots);
  const axis = (text, x, y, anchor) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", "text");
    node.setAttribute("x", String(x));
    node.setAttribute("y", String(y));
    node.setAttribute("text-anchor", anchor);
    node.textContent = text;
    svg.append(node);
  };
  const bottom = 10 + lines * 18;
  const power = (value) => `10${String(Math.round(Math.log10(value))).replace(/\d/g, (digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit])}`;
  known.sizes.forEach((size, column) => { if (column % 4 === 0) axis(power(size), 74 + column * 21, bottom + 16, "middle"); });
  known.values.forEach((value, row) => { if (row % 2 === 0) axis(value.toLocaleString("en"), 58, bottom - row * 18 - 5, "end"); });
  axis("parameters N", 64 + columns * 10.5, bottom + 34, "middle");
  axis("b", 12, 10 + lines * 9, "middle");

  const three = (value) => value.toLocaleString("en", { minimumSignificantDigits: 3, maximumSignificantDigits: 3 });
  const units = [[1e-9, "ns"], [1e-6, "µs"], [1e-3, "ms"], [1, "s"], [3600, "h"]];
  const seconds = (value) => { if (value === 0) return "0 s"; const [scale, unit] = units.filter(([size]) => value >= size).pop() ?? units[0]; return `${three(value / scale)} ${unit}`; };
  const rates = [[1, "b/s"], [1e3, "kb/s"], [1e6, "Mb/s"], [1e9, "Gb/s"], [1e12, "Tb/s"]];
  const rateText = (value) => { const [scale, unit] = rates.filter(([size]) => value >= size * 0.999).pop() ?? rates[0]; return `${three(value / scale)} ${unit}`; };
  const colour = (label) => `var(--c-${known.methods[label]})`;
  // a device with items that have no stated time is the cheapest at best
  const titleOf = (label) => label === known.device && known.not_stated.length > 0 ? `${known.titles[label]} at best` : known.titles[label];
  // a slider moves in steps: at the one nearest to the study's device it means that device exactly
  const chosen = (name) => {
    const at = Number(field(name).value), study = known.start[name];
    return Math.abs(at - study) <= Number(field(name).step) / 2 ? study : at;
  };
  // What the device takes beside its host's part at one place of the map.
  const modelled = (place, { rate, tau, bits, time, upload }) => known.fixed[upload][place] + known.runs[place] * time * tau + known.words[upload][place] * bits / rate;
  const linkRate = (log) => log >= Number(field("rate").max) ? Infinity : 10 ** log;
  const study = { ...known.start, rate: linkRate(known.start.rate), tau: 10 ** known.start.tau };
  // A lead that the map confirms for the study's device stays confirmed where what is set here can only widen it.
  const confirmed = (best, place, settings) => {
    const leads = field("approximate").checked ? known.confirmed.all : known.confirmed.exact;
    if (field("processor").value !== "" || settings.upload !== study.upload || leads[place] !== best) return false;
    const now = modelled(place, settings), then = modelled(place, study);
    return best === known.device ? now <= then : now >= then;
  };
  // What the device takes at one size, and what would make it so many times faster than the quickest rival.
  const required = ({ rivals, digital, hosts, rated, rate, tau, bits, time, upload }) => {
    const column = Number(field("size").value), row = Number(field("batch").value), place = row * columns + column;
    const where = `At N = ${known.sizes[column].toLocaleString("en")}, b = ${known.values[row].toLocaleString("en")}`;
    const timed = rivals.filter((label) => digital[label][place] !== null);
    if (timed.length === 0 || hosts[upload][place] === null) return `${where} there is no model, or no memory for it.`;
    const best = timed.reduce((one, other) => digital[other][place] < digital[one][place] ? other : one);
    const rest = (way) => hosts[way][place] + known.fixed[way][place] + known.runs[place] * time * tau;
    const link = known.words[upload][place] * bits / rate, taken = rest(upload) + link;
    const target = field("target"), allowed = digital[best][place] / target.valueAsNumber;
    const bound = rated || known.not_stated.length > 0 ? "≥ " : "", host = hosts[upload][place], fastest = digital[best][place];
    // of a device known from below only the ratio is one too; of two lower bounds it is neither
    const edge = rated || bound === "" ? "" : taken > fastest ? "at least " : "at most ";
    const times = `${edge}${taken > fastest ? `${three(taken / fastest)} times slower` : `${three(fastest / taken)} times faster`} than`;
    const joules = (seconds) => { const value = seconds * rated.watts; return value < 1 ? `${three(1e3 * value)} mJ` : `${three(value)} J`; };
    const needed = !target.validity.valid ? [] : Object.keys(known.words).filter((way) => hosts[way][place] !== null).map((way) => {
      const sent = way === "full" ? "Sending whole arrays" : "Sending factors", left = allowed - rest(way), words = known.words[way][place];
      if (left <= 0) return `${sent}: no link is enough, as host and device alone take ${bound}${seconds(rest(way))}.`;
      const most = Math.min(64, Math.floor(left * rate / words));
      return `${sent}: a link of ${rateText(words * bits / left)}${most > 0 && rate < Infinity ? `, or words of up to ${most} bit${most === 1 ? "" : "s"}` : ""}.`;
    });
    const streamed = known.streamed[upload], writing = streamed.words[place] * bits / rate + streamed.seconds[place];
    const making = rated ? rated.making[upload][place] : streamed.making[place] * host;
    const saved = Math.min(making, writing) * (1 - 1 / known.outputs);
    return [
      `${where} a step takes ${bound}${seconds(taken)}: host ${rated ? "≥ " : ""}${seconds(host)}, link ${seconds(link)}.`,
      `${rated ? "By these lower bounds that" : "That"} is ${times} ${known.titles[best]}, the quickest ${field("approximate").checked ? "" : "exact "}rival, at ${rated ? "≥ " : ""}${seconds(fastest)}.`,
      `The device has ${Math.round(known.cells[place]).toLocaleString("en")} cells${known.tiles ? `, tiles: ${Math.round(known.tiles[place]).toLocaleString("en")}` : ""}.`,
      ...(saved > 0 ? [`Rows that are sent while the host makes the next ones would save ${seconds(saved)}.`] : []),
      ...(rated ? [`Energy: host ≥ ${joules(host)}, ${known.titles[best]} ≥ ${joules(fastest)}, at ${rated.watts} W.`] : []),
      target.validity.valid ? `Target: ${seconds(allowed)}.` : `The target must be a number from ${target.min} to ${Number(target.max).toLocaleString("en")}.`,
      ...needed,
    ].join(" ");
  };
  const draw = () => {
    const endless = Number(field("rate").value) >= Number(field("rate").max);
    const rate = endless ? Infinity : 10 ** chosen("rate");
    const tau = 10 ** chosen("tau");
    const bits = chosen("bits");
    const time = chosen("time");
    const upload = field("upload").value;
    const settings = { rate, tau, bits, time, upload };
    // a processor's seconds are lower bounds at its rated speed, not fitted to anything measured here
    const rated = known.rated[field("processor").value];
    const { digital, host: hosts } = rated ?? known;
    const factorOf = (label, place) => rated ? 1 : known.factors[label][place];
    const rivals = Object.keys(digital).filter((label) => field("approximate").checked || known.exact.includes(label));
    shown("rate").textContent = endless ? "unlimited" : rateText(rate);
    shown("tau").textContent = seconds(tau);
    shown("bits").textContent = `${bits} bits`;
    shown("time").textContent = `${time} τ`;
    const wins = {};
    let total = 0, dotted = "";
    for (const { place, row, column, box, title } of cells) {
      // seconds of each with the factor that they are known to within; the device's own part is modelled exactly
      const found = rivals
        .filter((label) => digital[label][place] !== null)
        .map((label) => ({ label, value: digital[label][place], factor: factorOf(label, place) }));
      const host = hosts[upload][place];
      if (host !== null) {
        const value = host + modelled(place, settings);
        found.push({ label: known.device, value, factor: 1 + host * (factorOf(known.device, place) - 1) / value });
      }
      found.sort((a, b) => a.value - b.value);
      const vouched = found.slice(0, 2).every(({ factor }) => factor <= known.vouched_factor);
      const best = found.length > 0 && vouched ? found[0].label : null;
      const least = found.length > 0 ? found[0].value : Infinity;
      box.style.fill = best === null ? "none" : colour(best);
      const bound = best === known.device && known.not_stated.length > 0;
      const sure = !bound && confirmed(best, place, settings);
      box.classList.toggle("faint", !sure);
      if (bound) dotted += `M${box.getAttribute("x")} ${box.getAttribute("y")}h21v18h-21z`;
      if (best === null) { title.textContent = found.length > 0 ? "times not known well enough" : "no model"; continue; }
      total += 1;
      wins[best] ??= { cells: 0, sure: 0 };
      wins[best].cells += 1;
      wins[best].sure += sure ? 1 : 0;
      title.textContent = `N = ${known.sizes[column].toLocaleString("en")}, b = ${known.values[row]}: ${titleOf(best)}, ${bound ? "≥ " : ""}${seconds(least)}${sure ? "" : ", lead not confirmed"}`;
    }
    dots.setAttribute("d", dotted);
    panel.querySelector(".required").textContent = required({ rivals, digital, hosts, rated, ...settings });
    const percent = (count) => `${Math.round(100 * count / total)} %`;
    const parts = Object.entries(wins).sort((a, b) => b[1].cells - a[1].cells).map(([label, { cells: won, sure }]) => `${titleOf(label)} ${percent(won)}${label === known.device && known.not_stated.length > 0 ? "" : ` (${percent(sure)} confirmed)`}`);
    svg.style.display = parts.length > 0 ? "" : "none";
    panel.querySelector(".summary").textContent = parts.length > 0 ? `Share of the coloured sizes at which each is the cheapest: ${parts.join(", ")}.` : "No map: at no size are times known to within a factor of 1.5.";
    const legend = panel.querySelector(".legend");
    const entry = (text, kind, fill) => {
      const item = document.createElement("li");
      const swatch = document.createElement("span");
      swatch.className = `swatch ${kind}`;
      swatch.style.background = fill;
      item.append(swatch, text);
      return item;
    };
    legend.replaceChildren(...Object.keys(wins).map((label) => entry(titleOf(label), "", colour(label))));
    if (total > 0) legend.append(entry(known.shading.faint, "faint", ""));
    if (dotted) legend.append(entry(known.shading.dotted, "faint dotted", ""));
  };
  const reset = () => {
    for (const [name, value] of Object.entries(known.start)) field(name).value = String(value);
    for (const takesPart of [false, true]) {  // with all rivals where no exact solver has a map
      field("approximate").checked = takesPart;
      draw();
      if (svg.style.display === "") break;
    }
  };
  panel.addEventListener("input", draw);
  panel.querySelector("button").addEventListener("click", reset);
  reset();
})();
