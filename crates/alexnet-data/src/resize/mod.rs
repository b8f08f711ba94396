//! Resizing: to which size, with which filter.

mod opencv;

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions};
use serde::{Deserialize, Serialize};

use crate::{Error, RgbImage8, RgbRef8};

/// The size an image is brought to before a square is cut from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ResizeRule {
    /// Left as it is.
    None,
    /// The shorter side becomes `size`, the longer one `size * longer / shorter`, rounded as `rounding` says.
    ShorterSide {
        /// Length of the shorter side.
        size: u32,
        /// What becomes of the longer side's fraction.
        rounding: SideRounding,
    },
    /// Exactly this size, whatever that does to the proportions (Caffe's ImageNet preparation, `-resize 256x256!`).
    Warp {
        /// New width.
        width: u32,
        /// New height.
        height: u32,
    },
}

/// How the longer side becomes an integer.
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
    /// The mean over the covered area when shrinking, cubic interpolation (a = -0.75) when enlarging: OpenCV's
    /// `INTER_AREA` and `INTER_CUBIC`, as cuda-convnet2 prepared ImageNet.
    AreaOrCubic,
    /// A triangle as wide as the reduction demands: torchvision's `Resize` on a PIL image, or with `antialias=True`.
    Bilinear,
    /// Lanczos with three lobes, ImageMagick's choice when shrinking and so that of Caffe's preparation.
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

/// Resizes images, keeping its working memory from one to the next.
#[derive(Debug, Default)]
pub struct Resizer {
    convolution: fast_image_resize::Resizer,
    /// Between the two passes of a convolution.
    between: RgbImage8,
    /// Between the two passes of OpenCV's methods.
    row: Vec<f32>,
}

impl Resizer {
    /// Writes to `output` the part `window` of what `image` would be after resizing to `size` (width, height), without
    /// computing the rest.
    ///
    /// # Errors
    /// [`Error::Setting`] where the window is empty or not within `size`, or the image is empty.
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

    /// First along the rows, then along the columns, with bytes in between, as Pillow does (from version 13 on unless the
    /// height shrinks much more than the width). In one go the library would begin with the columns, and every sixth
    /// pixel would come out one level off.
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

/// With the type of the pixels given: where the library finds it out, it is compiled for all of its pixel types.
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

/// The part of the source axis that `length` pixels from `start` on of the resized axis come from.
fn source_span(source: u32, resized: u32, start: u32, length: u32) -> (f64, f64) {
    let scale = f64::from(source) / f64::from(resized);
    let from = f64::from(start) * scale;
    // The product may end a rounding error outside the image.
    (from, (f64::from(length) * scale).min(f64::from(source) - from))
}
