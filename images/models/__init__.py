"""Tables of the image store."""

from images.models.blob import Blob
from images.models.image import Image, ImageLocation, ImageProperty, ImageTag, Visibility
from images.models.upload import Upload

__all__ = ["Blob", "Image", "ImageLocation", "ImageProperty", "ImageTag", "Upload", "Visibility"]
