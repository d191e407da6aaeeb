"""Fail the build if a link inside the site leads nowhere."""

import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError


def broken_links(site: Path) -> list[str]:
    """Return the links between pages of ``site`` whose page or anchor does not exist."""
    texts = {page.resolve(): page.read_text(encoding="utf-8") for page in site.rglob("*.html")}
    anchors = {page: set(re.findall(r'\bid="([^"]+)"', text)) for page, text in texts.items()}
    broken = []
    for page, text in texts.items():
        if "_modules" in page.parts:
            continue  # listings of source, whose links back follow private names
        for link in sorted(set(re.findall(r'<a\b[^>]*?\bhref="([^"]+)"', text))):
            if re.match(r"[a-z]+:", link):
                continue
            place, _, anchor = link.partition("#")
            target = (page.parent / place).resolve() if place else page
            known = anchors.get(target)
            if not target.exists() or (anchor and known is not None and anchor not in known):
                broken.append(f"{page.relative_to(site.resolve())}: {link}")
    return broken


def check(app: Sphinx, exception: Exception | None) -> None:
    """Check when the site is written."""
    if exception is None and app.builder.name == "html":
        broken = broken_links(Path(app.outdir))
        if broken:
            raise ExtensionError("Links that lead nowhere:\n" + "\n".join(broken))


def setup(app: Sphinx) -> dict[str, bool]:
    """Hook in."""
    app.connect("build-finished", check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
