//! Resizing: target size and filter.

mod opencv;

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions};
use serde::{Deserialize, Serialize};

use crate::{Error, RgbImage8, RgbRef8};

/// The size to which an image is resized before the central square is cropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ResizeRule {
    /// Not resized.
    None,
    /// The shorter side becomes `size`, the longer one `size * longer / shorter`, rounded according to `rounding`.
    ShorterSide {
        /// Length of the shorter side.
        size: u32,
        /// Rounding of the longer side.
        rounding: SideRounding,
    },
    /// Exactly this size, ignoring the aspect ratio (Caffe's ImageNet preparation, `-resize 256x256!`).
    Warp {
        /// New width.
        width: u32,
        /// New height.
        height: u32,
    },
}

/// Rounding of the longer side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SideRounding {
    /// To the nearest integer, halves up (cuda-convnet2, `make-data/pyext`).
    Nearest,
    /// Down (torchvision's `Resize`).
    Down,
}

impl ResizeRule {
    /// Width and height after resizing an image of `width` by `height`.
    pub fn output_size(self, width: u32, height: u32) -> (u32, u32) {
        match self {
            ResizeRule::None => (width, height),
            ResizeRule::Warp { width, height } => (width, height),
            ResizeRule::ShorterSide { size, rounding } => {
                let shorter = u64::from(width.min(height)).max(1);
                let scale = |side: u32| {
                    let scaled = u64::from(size) * u64::from(side);
                    let rounded = match rounding {
                        SideRounding::Nearest => (2 * scaled + shorter) / (2 * shorter),
                        SideRounding::Down => scaled / shorter,
                    };
                    u32::try_from(rounded).unwrap_or(u32::MAX)
                };
                (scale(width), scale(height))
            }
        }
    }
}

/// The interpolation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResizeFilter {
    /// Area averaging when shrinking, cubic interpolation (a = -0.75) when enlarging: OpenCV's `INTER_AREA` and
    /// `INTER_CUBIC`, as in cuda-convnet2's preparation of ImageNet.
    AreaOrCubic,
    /// Bilinear with antialiasing (a triangle filter scaled by the reduction): torchvision's `Resize` on a PIL image, or
    /// with `antialias=True`.
    Bilinear,
    /// Lanczos with three lobes: ImageMagick's default when shrinking, and therefore that of Caffe's preparation.
    Lanczos3,
}

/// A rectangle of an image, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// First column.
    pub x: u32,
    /// First row.
    pub y: u32,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// Resizes images; reuses its working memory.
#[derive(Debug, Default)]
pub struct Resizer {
    convolution: fast_image_resize::Resizer,
    /// The intermediate image between the two passes of a convolution.
    between: RgbImage8,
    /// The intermediate row between the two passes of OpenCV's methods.
    row: Vec<f32>,
}

impl Resizer {
    /// Resizes `image` to `size` (width, height) and writes the part `window` of the result to `output`, without computing
    /// the rest.
    ///
    /// # Errors
    /// [`Error::Setting`] if the window is empty or not within `size`, or if the image is empty or its number of bytes does
    /// not match its size.
    pub fn resize<'a>(
        &mut self,
        image: impl Into<RgbRef8<'a>>,
        size: (u32, u32),
        window: Window,
        filter: ResizeFilter,
        output: &mut RgbImage8,
    ) -> Result<(), Error> {
        let image = image.into();
        let inside = |start: u32, length: u32, total: u32| {
            length > 0 && u64::from(start) + u64::from(length) <= u64::from(total)
        };
        if !inside(window.x, window.width, size.0) || !inside(window.y, window.height, size.1) {
            return Err(Error::setting("window", format!("{window:?}"), format!("it must lie within {size:?}")));
        }
        let expected = image.width as usize * image.height as usize * 3;
        if expected == 0 || image.pixels.len() != expected {
            let rule = format!("{}x{} pixels take {expected}, and there must be some", image.width, image.height);
            return Err(Error::setting("bytes of the image", image.pixels.len(), rule));
        }
        output.reshape(window.width, window.height);
        match filter {
            ResizeFilter::AreaOrCubic => {
                opencv::resize(image, size, window, &mut self.row, &mut output.pixels);
                Ok(())
            }
            ResizeFilter::Bilinear => self.convolve(image, size, window, FilterType::Bilinear, output),
            ResizeFilter::Lanczos3 => self.convolve(image, size, window, FilterType::Lanczos3, output),
        }
    }

    /// Horizontal pass first, then vertical, with bytes in between, as in Pillow (since version 13 unless the height shrinks
    /// much more than the width). A single call of the library would start with the vertical pass, and every sixth pixel
    /// would be off by one level.
    fn convolve(
        &mut self,
        image: RgbRef8<'_>,
        size: (u32, u32),
        window: Window,
        filter: FilterType,
        output: &mut RgbImage8,
    ) -> Result<(), Error> {
        let algorithm = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter));
        let (x, width) = source_span(image.width, size.0, window.x, window.width);
        let (y, height) = source_span(image.height, size.1, window.y, window.height);
        let across = algorithm.crop(x, 0.0, width, f64::from(image.height));
        let down = algorithm.crop(0.0, y, f64::from(window.width), height);
        self.between.reshape(window.width, image.height);
        convolve_once(&mut self.convolution, image, &mut self.between, &across)?;
        convolve_once(&mut self.convolution, (&self.between).into(), output, &down)
    }
}

/// One pass with a static pixel type; the dynamically typed function would compile the library for all pixel types.
fn convolve_once(
    resizer: &mut fast_image_resize::Resizer,
    source: RgbRef8<'_>,
    target: &mut RgbImage8,
    options: &ResizeOptions,
) -> Result<(), Error> {
    let rejected = |error: &dyn std::error::Error| {
        Error::setting("image to resize", format!("{}x{}", source.width, source.height), error.to_string())
    };
    let view = TypedImageRef::<U8x3>::from_buffer(source.width, source.height, source.pixels);
    let view = view.map_err(|error| rejected(&error))?;
    let output = TypedImage::<U8x3>::from_buffer(target.width, target.height, &mut target.pixels);
    let mut output = output.map_err(|error| rejected(&error))?;
    resizer.resize_typed(&view, &mut output, options).map_err(|error| rejected(&error))
}

/// The start and length, on the source axis, of `length` pixels of the resized axis from `start` on.
fn source_span(source: u32, resized: u32, start: u32, length: u32) -> (f64, f64) {
    let scale = f64::from(source) / f64::from(resized);
    let from = f64::from(start) * scale;
    // Because of rounding, the product may extend slightly beyond the image.
    (from, (f64::from(length) * scale).min(f64::from(source) - from))
}
