"""Sphinx extension: formulas become inline SVG when the site is built, so that pages need neither scripts nor fonts nor other hosts for them."""
from xml.etree import ElementTree

import ziamath
from docutils import nodes

ziamath.config.svg2 = False         # paths in place: glyphs shared by id would clash between the formulas of a page
ziamath.config.precision = 2
ziamath.config.math.color = 'currentColor'
font_size = 18                      # px to 1 em of the STIX font; its letters are smaller than the text's 16 px


def svg(latex, inline):
    "An SVG in em, so that it grows with the text around it, with its baseline on the text's"
    formula = ziamath.Latex(latex, size=font_size, inline=inline)
    xml = formula.svgxml()
    for o in ('width', 'height'): xml.set(o, f'{float(xml.get(o)) / 16:.3f}em')
    if inline: xml.set('style', f'vertical-align:{(formula.getyofst() - formula.margin) / 16:.3f}em')
    xml.set('role', 'img')
    xml.set('aria-label', latex)
    return ElementTree.tostring(xml, encoding='unicode')


def visit_inline(self, node):
    self.body.append(svg(node.astext(), inline=True))
    raise nodes.SkipNode


def visit_block(self, node):
    self.body.append(f'<div class="formula">{svg(node.astext(), inline=False)}</div>\n')
    raise nodes.SkipNode


def setup(app):
    "Registers the renderer that conf.py names"
    app.add_html_math_renderer('svg', (visit_inline, None), (visit_block, None))
    return {'parallel_read_safe': True}
