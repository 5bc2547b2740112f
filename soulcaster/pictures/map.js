// The map, drawn on a canvas: in the app (a Streamlit component) and in the exported page, from the same data.
// Words from outside only ever reach the page as textContent or as canvas text: nothing in them comes alive.

const DOT_COLOR = "#888888";
const MARK_FROM_PIXELS = 7;
const DOT_MARK_FROM_PIXELS = 6;
const TITLE_FROM_PIXELS = 30;
const NEAR_AT_MOST = 60;
const NEAR_FROM_PIXELS = 26;
const NEAR_FROM_ZOOM = 1.7;
const ZOOM_MOST = 200;

export default function mountMap(component) {
  const { parentElement, data } = component;
  const host = parentElement.querySelector(".map-root");
  if (!host.mapView) host.mapView = new MapView(host);
  host.mapView.tell = component.setStateValue;
  host.mapView.update(data);
  return () => host.mapView && host.mapView.stop();
}

function element(name, attributes, text) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function isDark(color) {
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
  return 0.299 * r + 0.587 * g + 0.114 * b < 140;
}

class MapView {
  constructor(host) {
    this.host = host;
    this.mode = 0;
    this.picked = new Set();
    this.theme = null;
    this.entry = null;
    this.search = "";
    this.view = null;
    this.isChoosing = false;
    this.drag = null;
    this.hover = null;
    this.build();
    this.listen();
  }

  build() {
    this.host.replaceChildren();
    this.bar = this.host.appendChild(element("div", { class: "map-bar" }));
    const body = this.host.appendChild(element("div", { class: "map-body" }));
    this.tree = body.appendChild(element("nav", { class: "map-tree", "aria-label": "Themes and their clusters" }));
    this.stage = body.appendChild(element("div", { class: "map-stage" }));
    this.canvas = this.stage.appendChild(element("canvas", { tabindex: "0", role: "img" }));
    this.tip = this.stage.appendChild(element("div", { class: "map-tip", role: "status" }));
    const zoom = this.stage.appendChild(element("div", { class: "map-zoom" }));
    this.button(zoom, "+", "Zoom in", () => this.zoomBy(1.6));
    this.button(zoom, "−", "Zoom out", () => this.zoomBy(1 / 1.6));
    this.button(zoom, "⤢", "Show the whole map", () => this.reset());
    this.legend = this.host.appendChild(element("div", { class: "map-legend", role: "group", "aria-label": "Legend" }));
    this.note = this.host.appendChild(element("p", { class: "map-note" }));
  }

  button(parent, text, label, act) {
    const made = parent.appendChild(element("button", { type: "button", title: label, "aria-label": label }, text));
    made.addEventListener("click", act);
    return made;
  }

  update(data) {
    if (!data || !data.clusters) return;
    const before = this.data;
    this.data = data;
    this.place = new Map(data.clusters.id.map((id, at) => [id, at]));
    this.hits = data.hits ? new Set(data.hits) : null;
    for (const id of [...this.picked]) if (!this.place.has(id)) this.picked.delete(id);
    if (!before || before.stamp !== data.stamp) {
      this.drawBar();
      this.drawTree();
      this.drawLegend();
      this.canvas.setAttribute("aria-label", data.alt);
    } else if (before.dots.x.length !== data.dots.x.length) this.drawLegend();
    this.note.textContent = data.note;
    if (!this.view) this.reset();
    this.watch();
    this.ask();
  }

  drawBar() {
    this.bar.replaceChildren();
    const colors = this.bar.appendChild(element("fieldset"));
    colors.appendChild(element("legend", {}, "Colour by"));
    this.modeButtons = this.data.modes.map((mode, at) => {
      const made = this.button(colors, mode.name, `Colour by ${mode.name.toLowerCase()}`, () => this.setMode(at));
      made.setAttribute("aria-pressed", String(at === this.mode));
      return made;
    });
    this.choose = this.button(this.bar, "▭ Select a region", "Drag a box around clusters (or hold Shift)", () => {
      this.isChoosing = !this.isChoosing;
      this.choose.setAttribute("aria-pressed", String(this.isChoosing));
      this.canvas.classList.toggle("is-choosing", this.isChoosing);
    });
    this.choose.setAttribute("aria-pressed", String(this.isChoosing));
    this.button(this.bar, "✕ Clear", "Clear selection and filters", () => this.clear());
    if (!this.data.has_search) return;
    const search = this.bar.appendChild(element("input", { type: "search", placeholder: "Words in titles", "aria-label": "Search titles" }));
    search.addEventListener("input", () => {
      this.search = search.value.trim().toLowerCase();
      this.ask();
    });
  }

  setMode(at) {
    this.mode = at;
    this.entry = null;
    this.modeButtons.forEach((each, number) => each.setAttribute("aria-pressed", String(number === at)));
    this.drawLegend();
    this.ask();
  }

  drawLegend() {
    const mode = this.data.modes[this.mode];
    this.legend.replaceChildren();
    mode.legend.forEach((entry, at) => {
      const made = this.button(this.legend, "", `Only ${entry.label}`, () => {
        this.entry = this.entry === at ? null : at;
        this.drawLegend();
        this.ask();
      });
      made.setAttribute("aria-pressed", String(this.entry === at));
      this.addLook(made, entry);
    });
    if (!this.data.dots.x.length) return;
    this.legend.appendChild(element("small", {}, "Dots are items, by source:"));
    this.data.sources.forEach((source) => this.addLook(this.legend.appendChild(element("small")), source));
  }

  addLook(parent, { label, mark, color }) {
    const made = parent.appendChild(element("i", {}, mark));
    made.style.background = color;
    made.style.color = isDark(color) ? "#fff" : "#111";
    parent.appendChild(element("span", {}, label));
  }

  drawTree() {
    const c = this.data.clusters;
    this.tree.replaceChildren();
    const members = this.data.themes.map(() => []);
    c.theme.forEach((theme, at) => theme >= 0 && members[theme].push(at));
    this.members = members;
    this.summaries = this.data.themes.map((theme, number) => {
      const details = this.tree.appendChild(element("details"));
      const summary = details.appendChild(element("summary", {}, theme.title + " "));
      summary.appendChild(element("small", {}, `${members[number].length} clusters, ${theme.n_items} items`));
      summary.addEventListener("click", () => this.setTheme(this.theme === number && details.open ? null : number));
      details.addEventListener("toggle", () => {
        if (!details.open || details.childElementCount > 1) return;
        members[number].sort((a, b) => c.n[b] - c.n[a]).forEach((at) => {
          const leaf = details.appendChild(element("button", { type: "button", class: "map-leaf" }, c.title[at] + " "));
          leaf.appendChild(element("small", {}, String(c.n[at])));
          leaf.addEventListener("click", () => this.goTo(at));
        });
      });
      return summary;
    });
    if (!this.data.themes.length) this.tree.appendChild(element("p", {}, "There are no themes."));
  }

  setTheme(number) {
    this.theme = number;
    this.summaries.forEach((each, at) => each.classList.toggle("is-on", at === number));
    if (number === null) this.reset();
    else this.fit(this.members[number]);
  }

  goTo(at) {
    const c = this.data.clusters;
    this.picked = new Set([c.id[at]]);
    const side = Math.min(this.width, this.height);
    this.view = { x: c.x[at], y: c.y[at], scale: Math.max(this.view.scale, side / (10 * c.r[at])) };
    this.tellPicked();
    this.ask();
  }

  clear() {
    this.picked.clear();
    this.theme = null;
    this.entry = null;
    this.summaries.forEach((each) => each.classList.remove("is-on"));
    this.drawLegend();
    this.tellPicked();
    this.ask();
  }

  reset() {
    this.fit(this.data.clusters.id.map((_, at) => at));
  }

  fit(rows) {
    const c = this.data.clusters;
    this.measure();
    if (!rows.length || !this.width) return;
    let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
    for (const at of rows) {
      left = Math.min(left, c.x[at] - c.r[at]); right = Math.max(right, c.x[at] + c.r[at]);
      low = Math.min(low, c.y[at] - c.r[at]); high = Math.max(high, c.y[at] + c.r[at]);
    }
    const scale = Math.min(this.width / (right - left), this.height / (high - low)) * 0.92;
    this.view = { x: (left + right) / 2, y: (low + high) / 2, scale };
    this.least = this.least || scale / 3;
    this.ask();
  }

  measure() {
    const box = this.stage.getBoundingClientRect();
    this.width = box.width;
    this.height = box.height;
    const ratio = window.devicePixelRatio || 1;
    if (this.canvas.width !== Math.round(box.width * ratio) || this.canvas.height !== Math.round(box.height * ratio)) {
      this.canvas.width = Math.round(box.width * ratio);
      this.canvas.height = Math.round(box.height * ratio);
    }
    this.ratio = ratio;
  }

  toScreen(x, y) {
    return [(x - this.view.x) * this.view.scale + this.width / 2, (y - this.view.y) * this.view.scale + this.height / 2];
  }

  toMap(px, py) {
    return [(px - this.width / 2) / this.view.scale + this.view.x, (py - this.height / 2) / this.view.scale + this.view.y];
  }

  zoomBy(factor, px = this.width / 2, py = this.height / 2) {
    const [x, y] = this.toMap(px, py);
    const scale = Math.min(Math.max(this.view.scale * factor, this.least), this.least * 3 * ZOOM_MOST);
    this.view = { x: x - (px - this.width / 2) / scale, y: y - (py - this.height / 2) / scale, scale };
    this.ask();
  }

  // -- what is on, and drawing it ------------------------------------------------------------------------------------

  isOn(at) {
    const c = this.data.clusters;
    if (this.hits && !this.hits.has(c.id[at])) return false;
    if (this.search && !c.title[at].toLowerCase().includes(this.search)) return false;
    if (this.theme !== null && c.theme[at] !== this.theme) return false;
    return this.entry === null || this.data.modes[this.mode].of[at] === this.entry;
  }

  watch() {
    if (this.resized) return;
    this.resized = new ResizeObserver(() => {
      const was = this.width;
      this.measure();
      if (!was) this.reset();
      this.ask();
    });
    this.resized.observe(this.stage);
  }

  stop() {
    if (this.resized) this.resized.disconnect();
    this.resized = null;
  }

  ask() {
    if (!this.frame) this.frame = requestAnimationFrame(() => { this.frame = null; this.draw(); this.tellNear(); });
  }

  draw() {
    if (!this.data || !this.view || !this.width) return;
    const pen = this.canvas.getContext("2d");
    pen.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    pen.clearRect(0, 0, this.width, this.height);
    const style = getComputedStyle(this.host);
    this.ink = style.color;
    this.paper = style.getPropertyValue("--st-background-color").trim() || "#ffffff";
    const c = this.data.clusters;
    this.visible = [];
    for (let at = 0; at < c.id.length; at++) {
      const [px, py] = this.toScreen(c.x[at], c.y[at]);
      const pr = c.r[at] * this.view.scale;
      if (px + pr > 0 && px - pr < this.width && py + pr > 0 && py - pr < this.height) this.visible.push([at, px, py, pr]);
    }
    this.drawHalos(pen);
    this.drawNoise(pen);
    this.drawCircles(pen);
    this.drawDots(pen);
    this.drawTitles(pen);
    this.drawBox(pen);
  }

  drawHalos(pen) {
    const byColor = new Map();
    for (const [at, px, py, pr] of this.visible) {
      const theme = this.data.clusters.theme[at];
      const color = theme >= 0 ? this.data.themes[theme].color : null;
      if (!color || !this.isOn(at)) continue;
      if (!byColor.has(color)) byColor.set(color, new Path2D());
      const path = byColor.get(color);
      const reach = pr + Math.max(6, Math.min(pr * 0.5, 24));
      path.moveTo(px + reach, py);
      path.arc(px, py, reach, 0, 2 * Math.PI);
    }
    pen.globalAlpha = 0.16;
    for (const [color, path] of byColor) { pen.fillStyle = color; pen.fill(path); }
    pen.globalAlpha = 1;
  }

  drawNoise(pen) {
    const noise = this.data.noise;
    const size = Math.min(5, Math.max(2, this.view.scale / this.least / 3));
    pen.globalAlpha = this.theme === null && this.entry === null && !this.hits ? 0.75 : 0.15;
    pen.fillStyle = DOT_COLOR;
    for (let at = 0; at < noise.x.length; at++) {
      const [px, py] = this.toScreen(noise.x[at], noise.y[at]);
      pen.fillRect(px - size / 2, py - size / 2, size, size);
    }
    pen.globalAlpha = 1;
  }

  drawCircles(pen) {
    const mode = this.data.modes[this.mode];
    const c = this.data.clusters;
    const withDots = new Set(this.data.dots.cluster);
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    for (const [at, px, py, pr] of this.visible) {
      const entry = mode.legend[mode.of[at]];
      const isOn = this.isOn(at);
      const hasDots = withDots.has(c.id[at]);
      pen.globalAlpha = isOn ? (hasDots ? 0.3 : 0.92) : 0.13;
      pen.beginPath();
      pen.arc(px, py, Math.max(pr, 0.7), 0, 2 * Math.PI);
      pen.fillStyle = entry.color;
      pen.fill();
      pen.globalAlpha = isOn ? 1 : 0.2;
      const isPicked = this.picked.has(c.id[at]);
      if (isPicked || at === this.hover || pr > 4) {
        pen.lineWidth = isPicked ? Math.min(3, Math.max(1, pr * 0.3)) : at === this.hover ? 2 : 0.6;
        pen.strokeStyle = this.ink;
        pen.stroke();
      }
      if (pr >= MARK_FROM_PIXELS && pr < TITLE_FROM_PIXELS && !hasDots) {
        pen.fillStyle = isDark(entry.color) ? "#fff" : "#111";
        pen.font = `700 ${Math.min(13, pr)}px system-ui, sans-serif`;
        pen.fillText(entry.mark, px, py);
      }
    }
    pen.globalAlpha = 1;
  }

  drawDots(pen) {
    const dots = this.data.dots;
    for (let at = 0; at < dots.x.length; at++) {
      const number = this.place.get(dots.cluster[at]);
      if (number === undefined || !this.isOn(number)) continue;
      const c = this.data.clusters;
      const [px, py] = this.toScreen(c.x[number] + dots.x[at] * c.r[number], c.y[number] + dots.y[at] * c.r[number]);
      pen.beginPath();
      pen.arc(px, py, this.dotPixels(number), 0, 2 * Math.PI);
      pen.fillStyle = dots.color[at];
      pen.fill();
      pen.lineWidth = 0.5;
      pen.strokeStyle = this.ink;
      pen.stroke();
      if (this.dotPixels(number) < DOT_MARK_FROM_PIXELS) continue;
      pen.font = "700 9px system-ui, sans-serif";
      pen.fillStyle = isDark(dots.color[at]) ? "#fff" : "#111";
      pen.fillText(dots.mark[at], px, py);
    }
  }

  dotPixels(number) {
    const c = this.data.clusters;
    return Math.max(1.5, Math.min(9, (c.r[number] * this.view.scale) / Math.sqrt(c.n[number]) * 0.6));
  }

  drawTitles(pen) {
    const c = this.data.clusters;
    const taken = [];
    const isFree = (left, top, width, height) => {
      const hit = taken.some(([l, t, w, h]) => left < l + w && l < left + width && top < t + h && t < top + height);
      if (!hit) taken.push([left, top, width, height]);
      return !hit;
    };
    pen.font = "700 14px system-ui, sans-serif";
    const many = 10 + Math.round((6 * this.view.scale) / (this.least * 3));
    let drawn = 0;
    for (let number = 0; number < this.data.themes.length && drawn < many; number++) {
      const theme = this.data.themes[number];
      if (this.theme !== null && this.theme !== number) continue;
      const [px, py] = this.toScreen(theme.x, theme.y);
      const text = shorten(pen, theme.title, 210);
      const width = pen.measureText(text).width + 8;
      if (px < 0 || px > this.width || py < 0 || py > this.height) continue;
      const left = Math.min(Math.max(px - width / 2, 2), this.width - width - 2);
      if (!isFree(left, py - 10, width, 20)) continue;
      this.outlined(pen, text, left + width / 2, py);
      drawn += 1;
    }
    pen.font = "12px system-ui, sans-serif";
    for (const [at, px, py, pr] of [...this.visible].sort((a, b) => b[3] - a[3]).slice(0, 200)) {
      if (pr < TITLE_FROM_PIXELS || !this.isOn(at)) continue;
      const lines = wrapped(pen, c.title[at], Math.max(60, pr * 1.7), 3);
      const width = Math.max(...lines.map((line) => pen.measureText(line).width));
      if (!isFree(px - width / 2, py - lines.length * 7.5, width, lines.length * 15)) continue;
      lines.forEach((line, row) => this.outlined(pen, line, px, py + (row - (lines.length - 1) / 2) * 15));
    }
  }

  outlined(pen, text, px, py) {
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.lineJoin = "round";
    pen.lineWidth = 4;
    pen.strokeStyle = this.paper;
    pen.strokeText(text, px, py);
    pen.fillStyle = this.ink;
    pen.fillText(text, px, py);
  }

  drawBox(pen) {
    if (!this.drag || !this.drag.isBox) return;
    const { x, y, toX, toY } = this.drag;
    pen.setLineDash([5, 4]);
    pen.lineWidth = 1.5;
    pen.strokeStyle = this.ink;
    pen.strokeRect(x, y, toX - x, toY - y);
    pen.setLineDash([]);
  }

  // -- pointer, keys, words ------------------------------------------------------------------------------------------

  listen() {
    const canvas = this.canvas;
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.release(event));
    canvas.addEventListener("pointerleave", () => { if (!this.drag) this.hide(); });
    canvas.addEventListener("dblclick", (event) => this.zoomBy(2, event.offsetX, event.offsetY));
    canvas.addEventListener("wheel", (event) => {
      // The page scrolls on until the map has been clicked.
      if (!event.ctrlKey && !event.metaKey && canvas.getRootNode().activeElement !== canvas) return;
      event.preventDefault();
      this.zoomBy(Math.exp(-event.deltaY * 0.0016), event.offsetX, event.offsetY);
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (way) {
      this.view.x += (way[0] * 60) / this.view.scale;
      this.view.y += (way[1] * 60) / this.view.scale;
      this.ask();
    } else if (event.key === "+" || event.key === "=") this.zoomBy(1.4);
    else if (event.key === "-") this.zoomBy(1 / 1.4);
    else if (event.key === "0") this.reset();
    else if (event.key === "Escape") this.clear();
    else if (event.key === "Enter") this.pick(this.visible.filter(([at]) => this.isOn(at)).map(([at]) => at), false);
    else return;
    event.preventDefault();
  }

  press(event) {
    this.canvas.setPointerCapture(event.pointerId);
    const isBox = this.isChoosing || event.shiftKey;
    this.drag = { x: event.offsetX, y: event.offsetY, toX: event.offsetX, toY: event.offsetY, view: { ...this.view }, isBox };
  }

  move(event) {
    if (!this.drag) return this.point(event);
    this.drag.toX = event.offsetX;
    this.drag.toY = event.offsetY;
    if (!this.drag.isBox) {
      this.view.x = this.drag.view.x - (event.offsetX - this.drag.x) / this.view.scale;
      this.view.y = this.drag.view.y - (event.offsetY - this.drag.y) / this.view.scale;
    }
    this.hide();
    this.ask();
  }

  release(event) {
    const drag = this.drag;
    this.drag = null;
    if (!drag) return;
    if (Math.hypot(drag.toX - drag.x, drag.toY - drag.y) < 4) {
      const at = this.under(event.offsetX, event.offsetY);
      if (at !== null) this.pick([at], event.ctrlKey || event.metaKey);
    } else if (drag.isBox) {
      const [left, right] = [Math.min(drag.x, drag.toX), Math.max(drag.x, drag.toX)];
      const [top, low] = [Math.min(drag.y, drag.toY), Math.max(drag.y, drag.toY)];
      const inside = ([at, px, py]) => px >= left && px <= right && py >= top && py <= low && this.isOn(at);
      this.pick(this.visible.filter(inside).map(([at]) => at), event.ctrlKey || event.metaKey);
    }
    this.ask();
  }

  pick(rows, isMore) {
    const ids = rows.map((at) => this.data.clusters.id[at]);
    this.picked = new Set(isMore ? [...this.picked, ...ids] : ids);
    this.tellPicked();
    this.ask();
  }

  under(px, py) {
    for (const [at, x, y, r] of this.visible || []) if (Math.hypot(px - x, py - y) <= Math.max(r, 4)) return at;
    return null;
  }

  point(event) {
    const [px, py] = [event.offsetX, event.offsetY];
    const words = this.wordsOfDot(px, py) || this.wordsOfCluster(px, py);
    if (!words) return this.hide();
    this.tip.replaceChildren(element("b", {}, words[0]), element("span", {}, words[1]));
    this.tip.style.display = "block";
    const box = this.tip.getBoundingClientRect();
    this.tip.style.left = `${Math.max(4, Math.min(px + 14, this.width - box.width - 6))}px`;
    this.tip.style.top = `${Math.max(4, py + 18 + box.height > this.height ? py - box.height - 10 : py + 18)}px`;
    this.ask();
  }

  wordsOfDot(px, py) {
    const { dots, noise, clusters: c } = this.data;
    for (let at = 0; at < dots.x.length; at++) {
      const number = this.place.get(dots.cluster[at]);
      if (number === undefined) continue;
      const [x, y] = this.toScreen(c.x[number] + dots.x[at] * c.r[number], c.y[number] + dots.y[at] * c.r[number]);
      if (Math.hypot(px - x, py - y) <= this.dotPixels(number) + 1) return [dots.text[at], `${dots.detail[at]}\nin: ${c.title[number]}`];
    }
    for (let at = 0; at < noise.x.length; at++) {
      const [x, y] = this.toScreen(noise.x[at], noise.y[at]);
      if (Math.hypot(px - x, py - y) <= 3) return [noise.text[at], noise.detail[at]];
    }
    return null;
  }

  wordsOfCluster(px, py) {
    this.hover = this.under(px, py);
    if (this.hover === null) return null;
    const c = this.data.clusters;
    const theme = c.theme[this.hover];
    return [c.title[this.hover], c.detail[this.hover] + (theme >= 0 ? `\nTheme: ${this.data.themes[theme].title}` : "")];
  }

  hide() {
    this.tip.style.display = "none";
    if (this.hover !== null) { this.hover = null; this.ask(); }
  }

  tellPicked() {
    if (this.tell) this.tell("picked", [...this.picked]);
  }

  // When few clusters are in view, their items are asked for; the answer comes with the next `update`.
  tellNear() {
    if (!this.tell || this.drag) return;
    const large = (this.visible || []).filter(([, , , pr]) => pr >= NEAR_FROM_PIXELS);
    const isNear = large.length && this.visible.length <= NEAR_AT_MOST && this.view.scale >= this.least * 3 * NEAR_FROM_ZOOM;
    const ids = isNear ? large.map(([at]) => this.data.clusters.id[at]).sort() : [];
    if (ids.join() === (this.near || "")) return;
    clearTimeout(this.wait);
    this.wait = setTimeout(() => { this.near = ids.join(); this.tell("near", ids); }, 350);
  }
}

function shorten(pen, text, most) {
  if (pen.measureText(text).width <= most) return text;
  let end = text.length;
  while (end > 1 && pen.measureText(text.slice(0, end) + "…").width > most) end -= 1;
  return text.slice(0, end) + "…";
}

function wrapped(pen, text, most, lines) {
  const made = [];
  let line = "";
  for (const word of text.split(/\s+/)) {
    const longer = line ? `${line} ${word}` : word;
    if (pen.measureText(longer).width <= most || !line) line = longer;
    else { made.push(line); line = word; }
  }
  made.push(line);
  if (made.length > lines) made[lines - 1] = made.slice(lines - 1).join(" ");
  return made.slice(0, lines).map((each) => shorten(pen, each, most));
}
