import warnings
from importlib.metadata import PackageNotFoundError, version

try: __version__ = version('fastjpeg')
except PackageNotFoundError: __version__ = '0+unknown'      # a source tree that is not installed

warnings.filterwarnings('ignore', message='`torch.jit.script` is deprecated', category=FutureWarning)     # of fastai, when it is imported; its users cannot do anything about it
