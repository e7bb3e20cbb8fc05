"""`show_doc` for the site: a symbol's heading, source link, signature, docstring and the table of its parameters, as Markdown.

nbdev's own `show_doc` prints the parameters as comments in a signature; the table reads better, and its types link to their documentation."""
import ast
import inspect
import re
from functools import partial
from importlib import import_module
from inspect import Parameter

from fastcore.basics import isinstance_str
from fastcore.docments import DocmentText, ShowDocRenderer
from nbdev.config import get_config
from nbdev.doclinks import NbdevLookup
from nbdev.process import Processor

empty = Parameter.empty
dispatched = 'encodes', 'decodes', 'setups'      # such a function, added to a fastai transform, is that transform's; its name alone says nothing


def short(text):
    "`torch.nn.Module` as `Module`: the link behind a type says where it comes from; and a member of an enumeration as it is written in code"
    text = re.sub(r"<class '([\w.]+)'>|<([\w.]+): [^<>]*>", lambda m: m[1] or m[2], text)
    return re.sub(r"(?<!['\"\w.])(?:[a-z_]\w*\.)+(?=[A-Za-z_])", '', text)


def type_name(anno):
    "A type as it is written in a signature, its modules included"
    return '' if anno in (empty, None, type(None)) else inspect.formatannotation(anno).strip("'")


def doc_url(name):
    "Where a symbol is documented, '' if nowhere; the anchor as the symbol is written, for nbdev's are in lower case, where `Stft` and `stft` are one"
    url, _, anchor = (NbdevLookup().doc(name) or '').partition('#')
    if anchor and name.lower().endswith(anchor): anchor = name[-len(anchor):]
    return f'{url}#{anchor}' if anchor else url


def type_links(anno):
    "A type as Markdown: each member of a union in backticks, linked to its documentation"
    def link(o): return f'[`{short(o)}`]({url})' if (url := doc_url(o)) else f'`{short(o)}`'
    return ' | '.join(link(o) for o in type_name(anno).split(' | ') if o)


def source_url(sym, name):
    "Where the code of `sym` stands on GitHub, with its line if it is ours: of other packages the version may differ"
    url = (NbdevLookup().code(name) or '').partition('#')[0]
    return f'{url}#L{inspect.getsourcelines(sym)[1]}' if url.startswith(get_config().git_url) else url


def row(*cells):
    "One line of a Markdown table"
    return '| ' + ' | '.join(o.replace('|', r'\|').replace('\n', ' ') for o in cells) + ' |'


class SymbolDoc(ShowDocRenderer):
    "The documentation of one symbol; the text of its heading is also the anchor that nbdev's index gives for it"
    def __init__(self, sym, **kwargs):
        super().__init__(sym, **kwargs)
        self.is_property = isinstance(sym, property)        # `self.sym` is the function in it

    def signature(self):
        "Name, parameters and return type; one parameter a line where they do not fit in one"
        params = [short(o).replace(':NoneType', '').replace(' | ', '|') for o, _ in self.dm.params]
        result = '' if isinstance(self.sym, type) else type_name(self.dm.dm['return'].anno)
        end = f') -> {short(result)}' if result else ')'
        if self.is_property: return f'{self.nm} -> {short(result)}' if result else self.nm
        line = f'{self.nm}({", ".join(params)}{end}'
        return line if len(line) <= 80 else f'{self.nm}(\n    ' + ',\n    '.join(params) + f'\n{end}'

    def rows(self):
        "Name, type, default and details of each parameter, then of the result; those of which nothing is said are in the signature only"
        for name, p in self.dm.dm.items():
            if name == 'return' and isinstance(self.sym, type): continue        # of a function that the constructor takes its parameters from
            default = '' if p.default is empty else f'`{short(getattr(p.default, "__name__", repr(p.default)))}`'
            cells = type_links(p.anno), default, re.sub('(`[^`]*`)|<', lambda m: m[1] or r'\<', p.docment or '')
            if any(cells): yield '**Returns**' if name == 'return' else f'<code>{name}</code>', *cells        # not in backticks: no link to another thing of that name

    def table(self):
        "The parameters as a table without empty columns; nothing where no docment says anything"
        if not self.dm.has_docment: return ''
        table = zip(('', '**Type**', '**Default**', '**Details**'), *self.rows(), strict=True)
        head, *rows = zip(*(column for column in table if any(column[1:])), strict=True)
        return '\n'.join([row(*head), row(*['---'] * len(head)), *(row(*o) for o in rows)])

    def _repr_markdown_(self):
        source = source_url(self.sym, self.fn)
        parts = [f'{"#" * self.title_level} {self.nm}', f'[source]({source})' if source else '', f'```python\n{self.signature()}\n```',
                 inspect.cleandoc(self.sym.__doc__ or ''), self.table()]
        return '\n\n'.join(o for o in parts if o)


class NamedTupleDoc(SymbolDoc):
    "The fields of a `NamedTuple`, whose constructor says nothing of them, from the lines that declare them"
    @property
    def fields(self): return re.findall(r'^    (\w+) *: *([^#=\n]+?) *(?:#+ *(.*))?$', inspect.getsource(self.sym), flags=re.M)
    def signature(self): return f'{self.nm}({", ".join(f"{name}:{kind}" for name, kind, _ in self.fields)})'
    def table(self): return '\n'.join([row('', '**Type**', '**Details**'), row(*['---']*3), *(row(f'`{name}`', f'`{kind}`', text) for name, kind, text in self.fields)])


def show_doc(sym, name=None, title_level=None):
    "Markdown for `sym`; methods stand one level below functions and classes. Dispatched functions have no signature of their own, hence no entry"
    if isinstance_str(sym, 'Function') or isinstance_str(sym, 'TypeDispatch'): return ''
    doc = (NamedTupleDoc if hasattr(sym, '_fields') else SymbolDoc)(sym, name=name)
    if not isinstance(doc, NamedTupleDoc) and isinstance(sym, type) and '__new__' in vars(sym) and '__init__' not in vars(sym): doc.dm = DocmentText(partial(sym.__new__, sym), docstring=False)    # tensors
    if not isinstance(doc.dm, DocmentText): raise TypeError(f'{doc.nm} has no signature to show')
    doc.title_level = title_level or (4 if '.' in doc.nm else 3)
    return doc._repr_markdown_()


class ShowDocs(Processor):
    """Replaces each `show_doc` cell by its Markdown.

    The names in it are those of the notebook's exported module and of the imports in other cells; no other code of the notebook is run."""
    def begin(self):
        module = next((c.directives_['default_exp'] for c in self.nb.cells if 'default_exp' in c.directives_), None)
        self.names = dict(vars(import_module(f'{get_config().lib_path.name}.{module}'))) if module else {}
        self.wanted = any(c.source.lstrip().startswith('show_doc(') for c in self.nb.cells)

    def cell(self, cell):
        trees = cell.parsed_() if self.wanted else None
        if not trees or cell.directives_.get('eval', '').lower() == 'false': return
        imports = [o for o in trees if isinstance(o, (ast.Import, ast.ImportFrom))]
        exec(compile(ast.Module(imports, []), self.nb.path_, 'exec'), self.names)
        calls = [o.value for o in trees if isinstance(o, ast.Expr) and ast.unparse(o).startswith('show_doc(')]
        if not calls: return
        docs = [eval(ast.unparse(o), {**self.names, 'show_doc': show_doc}) for o in calls if ast.unparse(o.args[0]) not in dispatched]
        cell.cell_type, cell.source = 'markdown', '\n\n'.join(docs)


class ImportLine(Processor):
    "Says below the title how to import what is on the page: the notebook itself defines it"
    def begin(self):
        name = next((c.directives_['default_exp'] for c in self.nb.cells if 'default_exp' in c.directives_), None)
        self.lines = ['from fastai.vision.all import *', 'from fastjpeg.all import *'] if name else []
        if not name: return
        module, everything = (import_module(f'{get_config().lib_path.name}.{o}') for o in (name, 'all'))
        if not all(hasattr(everything, o) for o in module.__all__ if o not in dispatched): self.lines.append(f'from {module.__name__} import *')

    def cell(self, cell):
        if self.lines and cell.cell_type == 'markdown' and cell.source.startswith('# '): cell.source += '\n\n'.join(['', '```python\n'+'\n'.join(self.lines)+'\n```'])
