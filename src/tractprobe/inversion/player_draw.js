// The midsagittal plane and the waveform, drawn for a moment. Lengths in mm become CSS pixels by the view's map.
const HEAD = 40, LEFT = 40, RIGHT = 10, BOTTOM = 38, LANE = 22, WAVE = 84, AXIS = 34, WHOLE = 30;
const TRAIL_S = 0.1, EDGE_S = 0.03, MISSING = -32768, PX_PER_S = 160, LEAST_S = 1;
const S_STEPS = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300];
const SIDES = [[0, -13, "center"], [0, 21, "center"], [11, 4, "left"], [-11, 4, "right"], [0, -28, "center"],
  [0, 36, "center"], [11, -12, "left"], [-11, -12, "right"], [11, 20, "left"], [-11, 20, "right"], [0, -43, "center"],
  [0, 51, "center"]];
const TEXT = "13px system-ui, sans-serif", SMALL = "12px system-ui, sans-serif";

/** Size a canvas for the screen it is on; return its context in CSS pixels, empty. */
function sized(canvas, height) {
  const width = canvas.clientWidth, scale = window.devicePixelRatio || 1;
  const [columns, rows] = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== columns || canvas.height !== rows) {
    canvas.style.height = `${height}px`;
    Object.assign(canvas, { width: columns, height: rows });
  }
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

/** Return a point's place at a time, in mm, between two samples; null where it is not known. */
function place(set, number, timeS) {
  const at = (timeS - film.startS) * film.rateHz, slack = EDGE_S * film.rateHz;
  if (at < -slack || at > film.count - 1 + slack) return null;
  const inside = Math.min(Math.max(at, 0), film.count - 1), before = Math.floor(inside), share = inside - before;
  const value = (axis) => {
    const column = 2 * number + axis, width = 2 * film.points.length;
    const one = set[before * width + column], other = share ? set[(before + 1) * width + column] : one;
    return one === MISSING || other === MISSING ? null : film.origin[axis] + film.step * (one + share * (other - one));
  };
  const [x, y] = [value(0), value(1)];
  return x === null || y === null ? null : [x, y];
}

/** Return the smallest of 1, 2, 5, 10, 20 ... mm that keeps marks a distance in pixels apart. */
function stepOf(pixelsPerMm, least) {
  const decade = 10 ** Math.max(Math.floor(Math.log10(least / pixelsPerMm)), 0);
  return decade * [1, 2, 5, 10].find((step) => decade * step * pixelsPerMm >= least);
}

/** Return the part of the plane that is shown in a canvas of some width, and the map from mm to pixels, one scale for both axes. */
function view(width) {
  const [left, right, bottom, top_] = film.bounds, inner = Math.max(width - LEFT - RIGHT, 50);
  const height = Math.min(430, Math.max(250, inner * (top_ - bottom) / (right - left)));
  const scale = Math.min(inner / (right - left), height / (top_ - bottom));
  const [middleX, middleY] = [(left + right) / 2, (bottom + top_) / 2], sign = flipped ? -1 : 1;
  const of = ([x, y]) => [LEFT + inner / 2 + sign * scale * (x - middleX), HEAD + height / 2 - scale * (y - middleY)];
  return { width, inner, height, scale, of, halves: [inner / scale / 2, height / scale / 2], middle: [middleX, middleY] };
}

/** Add a Catmull-Rom curve through points, as cubic Béziers; a closed one goes on from the last to the first. */
function curve(context, points, closed = false) {
  const last = points.length - 1, at = (k) => points[closed ? (k + last + 1) % (last + 1) : Math.min(Math.max(k, 0), last)];
  context.moveTo(...points[0]);
  for (let k = 0; k < last + closed; k++) {
    const [a, b, c, d] = [at(k - 1), at(k), at(k + 1), at(k + 2)];
    context.bezierCurveTo(b[0] + (c[0] - a[0]) / 6, b[1] + (c[1] - a[1]) / 6,
      c[0] - (d[0] - b[0]) / 6, c[1] - (d[1] - b[1]) / 6, c[0], c[1]);
  }
}

function write(context, text, x, y, style) {
  Object.assign(context, { font: TEXT, textAlign: "left", ...style });
  context.fillText(text, x, y);
}

const short = (label) => label.length > 12 ? `${label.slice(0, 11)}…` : label;

function drawPlane(timeS) {
  const shown = view(plane.clientWidth), context = sized(plane, HEAD + shown.height + BOTTOM);
  drawAxes(context, shown);
  context.save();
  context.beginPath();
  context.rect(LEFT, HEAD, shown.inner, shown.height);
  context.clip();
  drawOutline(context, shown, timeS);
  if (predicted) drawTongue(context, shown, predicted, timeS, [3, 4]);
  drawTongue(context, shown, measured, timeS, []);
  const dots = film.points.map((point, number) => drawPoint(context, shown, point, number, timeS)).filter(Boolean);
  const guesses = predicted ? film.points.map((_, number) => place(predicted, number, timeS)).filter(Boolean) : [];
  drawNames(context, shown, dots, guesses.map(shown.of));
  context.restore();
  const phone = film.phones.find(([, start, end]) => start <= timeS && timeS < end);
  if (phone) write(context, short(phone[0]), LEFT + 24, 28, { font: "bold 26px system-ui, sans-serif", fillStyle: colour("ink") });
}

function drawAxes(context, { width, inner, height, scale, of, halves, middle }) {
  const marks = (axis, least) => {
    const step = stepOf(scale, least), found = [];
    for (let k = Math.ceil((middle[axis] - halves[axis]) / step); k * step <= middle[axis] + halves[axis]; k++) found.push(k * step);
    return found;
  };
  Object.assign(context, { strokeStyle: colour("grid"), fillStyle: colour("quiet"), lineWidth: 1 });
  context.beginPath();
  for (const x of marks(0, 44)) {
    const [at] = of([x, 0]);
    context.moveTo(at, HEAD);
    context.lineTo(at, HEAD + height);
    if (at > LEFT + 8 && at < width - RIGHT - 8) write(context, `${x}`, at, HEAD + height + 14, { font: SMALL, textAlign: "center" });
  }
  for (const y of marks(1, 28)) {
    const [, at] = of([0, y]);
    context.moveTo(LEFT, at);
    context.lineTo(LEFT + inner, at);
    if (at > HEAD + 8) write(context, `${y}`, LEFT - 6, at + 4, { font: SMALL, textAlign: "right" });
  }
  context.stroke();
  const front = flipped ? "← front, x (mm)" : "x (mm), front →";
  write(context, front, flipped ? LEFT : width - RIGHT, HEAD + height + 30, { font: SMALL, textAlign: flipped ? "left" : "right" });
  write(context, "y (mm)", 2, HEAD - 8, { font: SMALL });
}

function drawOutline(context, { of, width }, timeS) {
  const { palate, schematic, shapes } = film.outline;
  Object.assign(context, { strokeStyle: colour("outline"), fillStyle: colour("flesh"), lineWidth: schematic ? 1.5 : 2.5 });
  context.setLineDash([]);
  for (const { point, corners } of shapes) {
    const from = point === null ? [0, 0] : place(measured, point, timeS);
    if (!from) continue;
    context.beginPath();
    curve(context, corners.map(([x, y]) => of([from[0] + x, from[1] + y])), true);
    context.fill();
    context.stroke();
  }
  if (palate.length < 2) return;
  context.beginPath();
  curve(context, palate.map(of));
  context.stroke();
  const text = schematic ? "schematic, not measured" : "palate, measured";
  const style = { font: SMALL, textAlign: flipped ? "right" : "left", fillStyle: colour("quiet") };
  write(context, text, flipped ? width - RIGHT - 4 : LEFT + 4, HEAD + 14, style);
}

function drawTongue(context, { of }, set, timeS, dash) {
  const tongue = film.points.map((point, number) => point.tongue ? place(set, number, timeS) : null).filter(Boolean);
  if (tongue.length < 2) return;
  context.beginPath();
  curve(context, tongue.map(of));
  Object.assign(context, { strokeStyle: colour("tongue"), lineWidth: dash.length ? 2 : 4, lineCap: dash.length ? "butt" : "round" });
  context.setLineDash(dash);
  context.stroke();
  context.setLineDash([]);
}

/** Draw a point, where it came from and where it is predicted; return its place, null where it is not known. */
function drawPoint(context, { of }, point, number, timeS) {
  const ink = colour(point.name);
  context.beginPath();
  let drawing = false;
  for (let t = Math.max(timeS - TRAIL_S, film.startS); t <= timeS; t += 0.005) {
    const then = place(measured, number, t);
    if (then) context[drawing ? "lineTo" : "moveTo"](...of(then));
    drawing = Boolean(then);
  }
  Object.assign(context, { strokeStyle: ink, lineWidth: 2, globalAlpha: 0.5 });
  context.stroke();
  context.globalAlpha = 1;
  const guess = predicted && place(predicted, number, timeS);
  if (guess) {
    context.beginPath();
    context.arc(...of(guess), 5, 0, 2 * Math.PI);
    context.stroke();
  }
  const now = place(measured, number, timeS);
  if (!now) return null;
  const [x, y] = of(now);
  context.beginPath();
  context.arc(x, y, 6, 0, 2 * Math.PI);
  context.fillStyle = ink;
  context.fill();
  return { x, y, label: point.label, ink, number };
}

/** Write the points' names beside them, where they overlap neither each other nor a point; keep a name's side while it fits. */
function drawNames(context, shown, dots, guesses) {
  Object.assign(context, { font: TEXT, lineWidth: 3, strokeStyle: colour("ground"), lineJoin: "round" });
  const points = [...dots.map(({ x, y }) => [x, y]), ...guesses].map(([x, y]) => [x - 7, y - 7, x + 7, y + 7]);
  const [one, other] = [dots, [...dots].reverse()].map((order) => placed(context, shown, order, [...points]));
  for (const { dot, side } of other.length > one.length ? other : one) {
    sides[dot.number] = side;
    const [dx, dy, align] = SIDES[side];
    Object.assign(context, { textAlign: align, fillStyle: dot.ink });
    context.strokeText(dot.label, dot.x + dx, dot.y + dy);
    context.fillText(dot.label, dot.x + dx, dot.y + dy);
  }
}

/** Return a side for the name of each point, in order, leaving out those for which there is no room. */
function placed(context, { width, height }, dots, taken) {
  const found = [];
  for (const dot of dots) {
    const long = context.measureText(dot.label).width;
    const box = (side) => {
      const [dx, dy, align] = SIDES[side], from = dot.x + dx - { left: 0, center: long / 2, right: long }[align];
      return [from, dot.y + dy - 11, from + long, dot.y + dy + 4];
    };
    const fits = (side) => {
      const [a, b, c, d] = box(side);
      if (a < LEFT || c > width - RIGHT || b < HEAD + 18 || d > HEAD + height) return false;
      return taken.every(([e, f, g, h]) => c + 2 < e || g + 2 < a || d < f || h < b);
    };
    const side = [sides[dot.number], ...SIDES.keys()].find((one) => one !== undefined && fits(one));
    if (side === undefined) continue;
    taken.push(box(side));
    found.push({ dot, side });
  }
  return found;
}

/** Least and greatest sample of each of some columns of equal width, of the samples from one to another. */
function envelope(columns, first, last) {
  const step = (last - first) / columns, found = [];
  for (let column = 0; column < columns; column++) {
    let [low, high] = [0, 0];
    const stop = Math.min(first + (column + 1) * step, samples.length);
    for (let k = Math.floor(first + column * step); k < stop; k++) {
      if (samples[k] < low) low = samples[k];
      if (samples[k] > high) high = samples[k];
    }
    found.push([low, high]);
  }
  return found;
}

function drawEnvelope(context, columns, top_, height) {
  const middle = top_ + height / 2;
  context.fillStyle = colour("wave");
  columns.forEach(([low, high], x) => {
    const [from, to] = [middle - high / loudest * height / 2, middle - low / loudest * height / 2];
    context.fillRect(x, from, 1, Math.max(1, to - from));
  });
}

function drawWave(timeS) {
  const width = wave.clientWidth, lane = film.phones.length ? LANE : 0, context = sized(wave, lane + WAVE + AXIS);
  const pageS = Math.max(width / PX_PER_S, LEAST_S), spanS = film.durationS < 1.3 * pageS ? film.durationS : pageS;
  if (timeS < beginS || timeS > beginS + 0.95 * spanS || spanS !== shownS) {
    beginS = Math.min(Math.max(timeS - 0.1 * spanS, 0), film.durationS - spanS);
  }
  shownS = spanS;
  const at = (time) => (time - beginS) / spanS * width;
  drawPhones(context, width, lane, at, timeS);
  if (detail.width !== width || detail.beginS !== beginS) {
    detail = { width, beginS, columns: envelope(width, beginS * samplesPerS, (beginS + spanS) * samplesPerS) };
  }
  drawEnvelope(context, detail.columns, lane, WAVE);
  drawTimes(context, width, lane + WAVE, at, spanS);
  context.fillStyle = colour("cursor");
  context.fillRect(at(timeS) - 1, 0, 2, lane + WAVE);
  drawWhole(timeS, spanS);
}

/** Draw the phones along the wave; a name is written where there is room for it. */
function drawPhones(context, width, lane, at, timeS) {
  for (const [label, start, end] of film.phones) {
    const [from, to] = [Math.max(at(start), 0), Math.min(at(end), width)];
    if (to <= 0 || from >= width) continue;
    if (start <= timeS && timeS < end) {
      context.fillStyle = colour("band");
      context.fillRect(from, 0, to - from, lane + WAVE);
    }
    context.fillStyle = colour("outline");
    for (const edge of [at(start), at(end)]) if (edge >= 0 && edge <= width) context.fillRect(edge - 0.5, 0, 1, lane);
    context.font = TEXT;
    if (context.measureText(short(label)).width + 3 <= to - from) {
      write(context, short(label), (from + to) / 2, lane - 7, { textAlign: "center", fillStyle: colour("ink") });
    }
  }
}

function drawTimes(context, width, top_, at, spanS) {
  const step = S_STEPS.find((each) => each * width / spanS >= 56) ?? S_STEPS.at(-1);
  const title = "time (s)", digits = step < 0.1 ? 2 : step < 1 ? 1 : 0;
  Object.assign(context, { fillStyle: colour("quiet"), font: SMALL });
  for (let k = Math.ceil(beginS / step); k * step <= beginS + spanS; k++) {
    const x = at(k * step), text = (k * step).toFixed(digits), half = context.measureText(text).width / 2;
    context.fillRect(x - 0.5, top_, 1, 4);
    write(context, text, Math.min(Math.max(x, half), width - half), top_ + 17, { font: SMALL, textAlign: "center" });
  }
  write(context, title, width, top_ + 31, { font: SMALL, textAlign: "right" });
}

/** Draw the whole recording where the wave shows only a part of it. */
function drawWhole(timeS, spanS) {
  whole.hidden = spanS >= film.durationS;
  if (whole.hidden) return;
  const width = whole.clientWidth, context = sized(whole, WHOLE), at = (time) => time / film.durationS * width;
  if (all.length !== width) all = envelope(width, 0, samples.length);
  context.fillStyle = colour("band");
  context.fillRect(at(beginS), 0, Math.max(at(spanS), 2), WHOLE);
  drawEnvelope(context, all, 0, WHOLE);
  context.fillStyle = colour("cursor");
  context.fillRect(at(timeS) - 1, 0, 2, WHOLE);
}
