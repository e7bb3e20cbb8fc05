"""Reads settings.ini, the one place of metadata, and hands it to setuptools."""
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
ini = ConfigParser(interpolation=None)
ini.read(here/'settings.ini', encoding='utf-8')
cfg = ini['DEFAULT']

project_name = next(o for o in (here/'pyproject.toml').read_text(encoding='utf-8').splitlines() if o.startswith('name = '))
if project_name != f'name = "{cfg["name"]}"':
    raise SystemExit(f'settings.ini says name = {cfg["name"]}, pyproject.toml says {project_name}: they must agree')


def lines(key):
    "The non-empty lines of a setting; comments between them are configparser's business."
    return [o.strip() for o in cfg.get(key, '').splitlines() if o.strip()]


setup(
    name=cfg['name'], version=cfg['version'], description=cfg['description'], keywords=cfg['keywords'].split(),
    author=cfg['author'], license_expression=cfg['license'], classifiers=lines('classifiers'),
    long_description=(here/'README.md').read_text(encoding='utf-8'), long_description_content_type='text/markdown',
    python_requires=f'>={cfg["min_python"]}', packages=find_packages(include=['fastjpeg', 'fastjpeg.*']),
    install_requires=lines('requirements'),
    extras_require={o.removesuffix('_requirements'): lines(o) for o in cfg if o.endswith('_requirements')},
    entry_points={'console_scripts': lines('console_scripts'), 'nbdev': [f'{cfg["name"]}={cfg["name"]}._modidx:d']},
)
