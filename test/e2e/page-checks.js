/**
 * Runs inside the browser, before the page's own scripts: keeps what must not happen, and looks over the document as a
 * screen reader and a thumb would find it. `pageChecks()` gives one sentence for each fault; none when all is well.
 */
(() => {
  const violations = [];
  document.addEventListener('securitypolicyviolation', (event) => {
    violations.push(`the content security policy stopped ${event.blockedURI} (${event.violatedDirective})`);
  });

  const isShown = (element) => element.checkVisibility({ visibilityProperty: true });

  /** Roughly the accessible name: enough to tell that there is one. */
  function nameOf(element) {
    const ids = (element.getAttribute('aria-labelledby') ?? '').split(/\s+/).filter(Boolean);
    const labelled = ids.map((id) => document.getElementById(id)?.textContent ?? '').join(' ');
    const labels = [...(element.labels ?? [])].map((label) => label.textContent).join(' ');
    const own = element.matches('input, select, textarea') ? '' : element.textContent;
    return [element.getAttribute('aria-label'), labelled, labels, own].join(' ').trim();
  }

  const describe = (element) => element.outerHTML.slice(0, 120);

  function nameless() {
    const named =
      'a[href], button, input:not([type=hidden]), select, textarea, [role=tree], [role=img], canvas, section[tabindex]';
    return [...document.querySelectorAll(named)]
      .filter((element) => isShown(element) && nameOf(element) === '')
      .map((element) => `has no name: ${describe(element)}`);
  }

  function headings() {
    const levels = [...document.querySelectorAll('h1, h2, h3, h4')]
      .filter(isShown)
      .map((one) => Number(one.tagName[1]));
    const faults = levels.flatMap((level, at) =>
      at > 0 && level > (levels[at - 1] ?? 0) + 1
        ? [`a heading of level ${level} follows one of ${levels[at - 1]}`]
        : [],
    );
    const first = levels.filter((level) => level === 1).length;
    if (first !== 1) faults.push(`${first} headings of level 1`);
    if (levels[0] !== 1) faults.push(`the first heading has level ${levels[0]}`);
    return faults;
  }

  function tables() {
    const faults = [...document.querySelectorAll('table')]
      .filter((table) => !table.querySelector('caption')?.textContent)
      .map((table) => `a table without caption: ${describe(table)}`);
    const twice = [...document.querySelectorAll('[id]')].filter(
      (one) => document.querySelectorAll(`#${CSS.escape(one.id)}`).length > 1,
    );
    return [...faults, ...twice.map((one) => `an id stands twice: ${one.id}`)];
  }

  function strangers() {
    const scripts = [...document.scripts].filter(
      (script) => script.text !== '' || !script.src.startsWith(location.origin),
    );
    const handlers = [...document.querySelectorAll('*')].filter((one) =>
      [...one.attributes].some((attribute) => attribute.name.startsWith('on')),
    );
    const images = [...document.querySelectorAll('img, iframe, object, embed, b')];
    const faults = [...scripts, ...handlers, ...images].map(
      (one) => `came from a workload: ${describe(one)}`,
    );
    if (window.__x !== undefined) faults.push('a script of a workload ran');
    const links = [...document.querySelectorAll('a[href]')].filter((link) => link.origin !== location.origin);
    return [...faults, ...links.map((link) => `leads away: ${link.href}`)];
  }

  function width() {
    const { scrollWidth, clientWidth } = document.documentElement;
    return scrollWidth > clientWidth ? [`is ${scrollWidth - clientWidth} px wider than the window`] : [];
  }

  window.pageChecks = () => [
    ...violations,
    ...nameless(),
    ...headings(),
    ...tables(),
    ...strangers(),
    ...width(),
  ];
})();
