"""Builds the site docs/ and README.md from the notebooks and their saved outputs: `python -m tools.docs.build` (`make docs`).

Nothing is written unless everything is right: each line that it prints otherwise names the notebook to mend."""
import io
import os
import re
import shutil
import sys
import warnings
from html.parser import HTMLParser
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote, urlsplit

os.environ.update(MPLBACKEND='agg', NO_COLOR='1')
warnings.simplefilter('ignore')

import yaml                                                                 # noqa: E402
from fastcore.xtras import clean_cli_output                                 # noqa: E402
from nbdev.config import get_config                                         # noqa: E402
from nbdev.doclinks import nbglob                                           # noqa: E402
from sphinx.application import Sphinx                                       # noqa: E402
from sphinx.util.docutils import docutils_namespace, patch_docutils         # noqa: E402

from tools.docs.nb2md import Markdown, Myst, Notebook, Readme               # noqa: E402

here = Path(__file__).parent


class DocsError(Exception):
    "What is wrong with the notebooks, a line each"


def read_sidebar(nbs):
    "The wings of nbs/sidebar.yml as {section: file names}; the notebooks above the first section stand under ''"
    wings = {'': []}
    for o in yaml.safe_load((nbs/'sidebar.yml').read_text())['website']['sidebar']['contents']:
        if isinstance(o, str): wings[''].append(o)
        else: wings[o['section']] = o['contents']
    listed = [o for wing in wings.values() for o in wing]
    found = {o.name for o in nbglob(nbs, as_path=True)}
    errors = [f'nbs/{o}: is not in nbs/sidebar.yml' for o in sorted(found - set(listed))]
    errors += [f'nbs/{o}: is in nbs/sidebar.yml, but there is no such notebook' for o in sorted(set(listed) - found)]
    errors += [f'nbs/{o}: is in nbs/sidebar.yml twice' for o in sorted({o for o in listed if listed.count(o) > 1})]
    if errors: raise DocsError('\n'.join(errors))
    return {k: v for k, v in wings.items() if v}


def read_notebooks(nbs, names):
    "The notebooks called `names`, processed"
    found = []
    for name in names:
        try: found.append(Notebook(nbs/name))
        except Exception as e: raise DocsError(f'nbs/{name}: {type(e).__name__}: {e}') from e
    return found


def contents(wings):
    "The end of the first page: its table of contents as cards, one a wing, and the hidden toctrees that make the sidebar"
    cards, trees = [], []
    for section, notebooks in wings.items():
        pages = [o for o in notebooks if o.page != 'index']
        if pages: cards.append('\n'.join([':::{container} wing', f'**{section}**', '', *(f'- [{o.title}]({o.page}.md) {o.lead}' for o in pages), ':::']))
        trees.append('\n'.join(['```{toctree}', ':hidden:', f':caption: {section}' if section else '', '',
                                *('self' if o.page == 'index' else o.page for o in notebooks), '```']))
    return '\n\n'.join(['', '## Contents', '::::{container} wings', *cards, '::::', *trees, ''])


def run_sphinx(src, out, notebooks):
    "Sphinx from `src` to `out`; its warnings are errors, and name the notebook instead of the file made from it"
    log = io.StringIO()
    with docutils_namespace(), patch_docutils():
        app = Sphinx(src, here, out, src.parent/'doctrees', 'html', status=None, warning=log)
        app.build()
    text = clean_cli_output(log.getvalue()).strip()
    for o in notebooks: text = re.sub(rf'{re.escape(str(src/o.page))}\.md(:\d+)?', f'nbs/{o.path.name}', text)
    if text: raise DocsError(text)


def prune(out):
    "Removes what no page loads: source maps, fonts of icons that it does not use, the key of Sphinx's cache"
    for pattern in ('*.map', '.buildinfo', 'fa-brands-*', 'fa-regular-*'):
        for o in out.rglob(pattern): o.unlink()
    (out/'_sources').rmdir()


class Links(HTMLParser):
    "The anchors of a page, where its links lead, and what it loads"
    def __init__(self, html):
        super().__init__()
        self.ids, self.links, self.loads = {''}, [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids.add(attrs.get('id') or '')
        if tag == 'a' and attrs.get('href'): self.links.append(attrs['href'])
        elif url := attrs.get('src') or attrs.get('href'): self.loads.append(url)


def check_pages(out, notebooks):
    "Dead links and anchors, missing files, requests to other hosts and paths of this machine in the finished pages"
    names = {f'{o.page}.html': f'nbs/{o.path.name}' for o in notebooks}
    pages, errors = {o.name: Links(o.read_text()) for o in out.glob('*.html')}, []
    for page, found in pages.items():
        def error(text, page=page): errors.append(f'{names.get(page, page)}: {text}')
        for url in found.loads:
            if urlsplit(url).netloc: error(f'{url} would be loaded from another host')
        for url in found.links + found.loads:
            link = urlsplit(url)
            if link.scheme or link.netloc: continue
            path, anchor = unquote(link.path) or page, unquote(link.fragment)
            if not (out/path).exists(): error(f'{url} leads nowhere')
            elif path in pages and anchor not in pages[path].ids: error(f'{url} leads to no heading of {names.get(path, path)}')
        for o in {str(here.parent.parent), f'{Path.home()}/'}:
            if o in (out/page).read_text(): error(f'shows the path {o} of this machine')
    if errors: raise DocsError('\n'.join(dict.fromkeys(errors)))


def build(root):
    "The site and README.md of the repository `root`"
    cfg = get_config(root)
    names = read_sidebar(cfg.nbs_path)
    notebooks = read_notebooks(cfg.nbs_path, [o for wing in names.values() for o in wing])
    by_name = {o.path.name: o for o in notebooks}
    wings = {section: [by_name[o] for o in wing] for section, wing in names.items()}
    with TemporaryDirectory() as tmp:
        src, out = Path(tmp)/'src', Path(tmp)/'html'
        shutil.copytree(cfg.nbs_path, src, ignore=shutil.ignore_patterns('*.ipynb', '*.yml', '.*'))      # images that the author made
        for nb in notebooks: (src/f'{nb.page}.md').write_text(Myst(notebooks, out).convert(nb) + (contents(wings) if nb.page == 'index' else ''))
        run_sphinx(src, out, notebooks)
        for nb in notebooks: (out/f'{nb.page}.html.md').write_text(Markdown(notebooks, out).convert(nb))
        prune(out)
        check_pages(out, notebooks)
        shutil.rmtree(cfg.doc_path, ignore_errors=True)
        shutil.copytree(out, cfg.doc_path)
        readme = Readme(notebooks, out, pages=f'{cfg.doc_url.rstrip("/")}/', files='docs/').convert(by_name['index.ipynb'])
        (root/'README.md').write_text(f'<!-- made from nbs/index.ipynb by `make docs` -->\n\n{readme}')
    return len(notebooks)


if __name__ == '__main__':
    try: print(f'{build(Path.cwd())} pages in docs/, and README.md')
    except DocsError as e: sys.exit(f'The site was not built:\n{e}')
