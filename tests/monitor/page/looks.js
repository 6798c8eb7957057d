// Run in the page by its tests: what cannot be read for want of contrast, and what stands out of the window.

(() => {
  const parse = (text) => {
    const numbers = text.match(/-?[\d.]+(e-?\d+)?/g)?.map(Number) ?? [];
    const scale = text.startsWith("color(") ? 255 : 1;
    const [r = 0, g = 0, b = 0, a = 1] = numbers;
    return text === "transparent" ? [0, 0, 0, 0] : [r * scale, g * scale, b * scale, a];
  };
  const over = (top, under) => top.slice(0, 3).map((value, at) => value * top[3] + under[at] * (1 - top[3])).concat(1);
  const luminance = (colour) => {
    const linear = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = colour.map((value) => linear(value / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (a, b) => {
    const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x);
    return (high + 0.05) / (low + 0.05);
  };
  const named = (name) => {
    const probe = document.body.appendChild(document.createElement("i"));
    probe.style.color = `var(${name})`;
    const found = parse(getComputedStyle(probe).color);
    probe.remove();
    return found;
  };
  /** Every ground a text may lie on: the colours below it, and once more where a pattern is drawn. WCAG 2.1, 1.4.3. */
  const grounds = (node) => {
    const layers = [];
    let drawn = false;
    for (let at = node; at; at = at.parentElement) {
      const style = getComputedStyle(at);
      layers.push(parse(style.backgroundColor));
      drawn ||= style.backgroundImage !== "none";
      if (layers.at(-1)[3] === 1) break;
    }
    const plain = layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255, 1]);
    return drawn ? [plain, named("--well")] : [plain];
  };
  const left = ".unseen, .skip, noscript, [aria-disabled]"; // not for eyes, not yet, or exempt
  const visible = (node) => node.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && !node.closest(left);

  const pale = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !visible(node)) continue;
    const style = getComputedStyle(node);
    for (const ground of grounds(node)) {
      const found = ratio(over(parse(style.color), ground), ground);
      if (found < 4.5) pale.push(`${found.toFixed(2)} ${node.className || node.tagName}: ${node.textContent.slice(0, 40)}`);
    }
  }
  for (const field of document.querySelectorAll("input:not([type=radio])")) {
    const style = getComputedStyle(field);
    if (ratio(parse(style.color), grounds(field)[0]) < 4.5) pale.push(`field ${field.id}`);
  }
  // Drawn on a canvas or behind a text: pairs of names.
  const pairs = [
    ["--soft", "--card", 4.5], ["--ink", "--buy-soft", 4.5], ["--ink", "--sell-soft", 4.5], ["--on-loud", "--loud", 4.5],
    ...["--buy", "--sell", "--accent", "--s1", "--s2", "--s3", "--s4"].map((name) => [name, "--card", 3]),
    ...["--good", "--warn", "--bad", "--quiet"].map((name) => [name, "--card", 3]),
    ...["--fill", "--gain", "--loss", "--warn", "--bad"].map((name) => [name, "--well", 3]),
  ];
  for (const [above, below, least] of pairs) {
    const found = ratio(named(above), named(below));
    if (found < least) pale.push(`${found.toFixed(2)} ${above} on ${below}`);
  }

  const wide = document.documentElement.clientWidth;
  const out = document.documentElement.scrollWidth > wide ? [`the page is ${document.documentElement.scrollWidth} wide`] : [];
  for (const node of document.querySelectorAll("main *, header *, dialog[open] *")) {
    const box = node.getBoundingClientRect();
    if (!box.width || !visible(node) || node.closest("svg, .plot, .bar, .scroll")) continue;
    if (box.right > wide + 1 || box.left < -1) out.push(`${node.tagName} ${node.className} ${Math.round(box.right)}`);
  }
  const isCut = (node) => node.scrollWidth > node.clientWidth + 1 && getComputedStyle(node).display !== "inline";
  const cut = [...document.querySelectorAll(".value, dd, td, .big, h1, h2")].filter((node) => visible(node) && isCut(node));
  return { pale: [...new Set(pale)], out: [...out, ...cut.map((node) => `cut off: ${node.textContent}`)] };
})();
