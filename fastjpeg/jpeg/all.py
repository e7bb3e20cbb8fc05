"The JPEG half in one import: `from fastjpeg.jpeg.all import *`"
from fastjpeg.jpeg.codec import *
from fastjpeg.jpeg.curves import *
from fastjpeg.jpeg.dct import *
from fastjpeg.jpeg.domain import *
from fastjpeg.jpeg.learn import *
from fastjpeg.jpeg.measure import *
from fastjpeg.jpeg.qtables import *
from fastjpeg.jpeg.rate import *
from fastjpeg.jpeg.search import *
from fastjpeg.jpeg.transforms import *
