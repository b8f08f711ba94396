//! `cargo xtask prepare-imagenet`: converts ImageNet, or any folder of photographs, to shards.

use std::cell::RefCell;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use alexnet_data::ResizeFilter;
use alexnet_data::prepare::miniature::Miniature;
use alexnet_data::prepare::{BAD_IMAGES, IMAGES_PER_SHARD, PrepareOptions, SplitReport, Step, StoredFormat, prepare};
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use crate::hub::{Hub, Wanted};

/// Convert ImageNet's archives, or folders of photographs, to shards.
///
/// The input is a folder with the original ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar and
/// ILSVRC2012_devkit_t12.tar.gz; nothing is unpacked. It may also be a folder of class folders, with or without `train` and
/// `val`, or of Parquet files; --from-hub downloads such files first. The output is a data set for `alexnet train --data`.
/// After an interruption, even a power cut, the same command continues where it stopped.
#[derive(Args)]
pub struct PrepareArgs {
    /// Folder with the archives, class folders, or Parquet files
    #[arg(long, value_name = "DIR", required_unless_present_any = ["sample", "from_hub"])]
    input: Option<PathBuf>,
    /// Output folder: train and val with shards, labels.txt, manifest.json, mean.npy, bad-images.txt
    #[arg(long, value_name = "DIR", required_unless_present = "sample")]
    output: Option<PathBuf>,
    /// Download a data set from the Hugging Face Hub, such as ILSVRC/imagenet-1k, to --input [default: data/hub]. Data sets
    /// whose terms must be accepted require HF_TOKEN
    #[arg(long, value_name = "OWNER/NAME", conflicts_with = "sample")]
    from_hub: Option<String>,
    /// Branch, tag or commit of the data set [default: main, or the Hub's conversion to Parquet]
    #[arg(long, value_name = "REVISION", requires = "from_hub")]
    hub_revision: Option<String>,
    /// Name of one of several data sets in the repository, such as 160px in frgfm/imagenette
    #[arg(long, value_name = "NAME", requires = "from_hub")]
    hub_config: Option<String>,
    /// First generate a miniature of the archives, 500 pictures of ten classes, in --input [default:
    /// data/imagenet-sample/archives]
    #[arg(long)]
    sample: bool,
    /// Shorter side of the stored images, in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 256)]
    size: u32,
    /// Store only the central square, as the paper describes
    #[arg(long)]
    crop: bool,
    /// Interpolation; the successor of the 2012 code used area
    #[arg(long, value_enum, default_value_t = Filter::Area)]
    filter: Filter,
    /// Storage format of the resized images
    #[arg(long, value_enum, default_value_t = Format::Jpeg)]
    format: Format,
    /// Quality of the stored JPEG files, 1 to 100 [default: 95]
    #[arg(long, value_name = "QUALITY")]
    quality: Option<u8>,
    /// Store the files unchanged; size and filter then affect only mean image and colors
    #[arg(long, conflicts_with_all = ["crop", "format", "quality"])]
    keep_originals: bool,
    /// Images read for each shard
    #[arg(long, value_name = "N", default_value_t = IMAGES_PER_SHARD)]
    images_per_shard: u32,
    /// Do not compare the archives' MD5 sums with the published ones, or with those in a file MD5SUMS next to them
    #[arg(long)]
    no_verify: bool,
    /// Threads [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Compressed: about 42 kB an image
    Jpeg,
    /// Uncompressed, as PPM, which needs no decoding: about 260 kB an image, 197 kB with --crop
    Raw,
}

#[derive(Clone, Copy, ValueEnum)]
enum Filter {
    /// Mean over the covered area when shrinking, cubic when enlarging
    Area,
    /// Lanczos with three lobes
    Lanczos,
    /// Triangle scaled to the reduction, as in torchvision
    Bilinear,
}

pub fn run(root: &Path, args: &PrepareArgs) -> Result<()> {
    let sample = root.join("data/imagenet-sample");
    let input = match (&args.input, &args.from_hub) {
        (Some(input), _) => input.clone(),
        (None, Some(repository)) => root.join("data/hub").join(hub_folder(repository, args.hub_config.as_deref())),
        (None, None) => sample.join("archives"),
    };
    let output = args.output.clone().unwrap_or_else(|| sample.join("shards"));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = args.threads.unwrap_or(cores);
    if workers == 0 {
        bail!("--threads must be at least 1, but is 0");
    }
    if args.sample {
        let drawn = Miniature::default().write(&input, workers)?;
        let what =
            if drawn { "generated a miniature of ImageNet" } else { "archives already exist, nothing generated" };
        eprintln!("{what}: {}", input.display());
    }
    if args.format == Format::Raw && args.quality.is_some() {
        bail!("--quality is only for --format jpeg, but --format is raw");
    }
    if let Some(repository) = &args.from_hub {
        let (revision, config) = (args.hub_revision.clone(), args.hub_config.clone());
        download(&Wanted { repository: repository.clone(), revision, config }, &input)?;
    }
    let options = PrepareOptions {
        size: args.size,
        crop: args.crop,
        filter: match args.filter {
            Filter::Area => ResizeFilter::AreaOrCubic,
            Filter::Lanczos => ResizeFilter::Lanczos3,
            Filter::Bilinear => ResizeFilter::Bilinear,
        },
        format: match args.format {
            _ if args.keep_originals => StoredFormat::Original,
            Format::Raw => StoredFormat::Raw,
            Format::Jpeg => StoredFormat::Jpeg { quality: args.quality.unwrap_or(95) },
        },
        images_per_shard: args.images_per_shard,
        verify: !args.no_verify,
        ..PrepareOptions::new(input.clone(), output.clone(), workers)
    };
    let line = RefCell::new(Line::new());
    let start = Instant::now();
    let reports = prepare(&options, &|step| line.borrow_mut().show(step));
    line.borrow_mut().clear();
    let reports = reports.with_context(|| format!("cannot prepare {} from {}", output.display(), input.display()))?;
    tell(&output, &reports, start.elapsed())
}

/// Folder name of a downloaded data set.
fn hub_folder(repository: &str, config: Option<&str>) -> String {
    let mut name = repository.replace('/', "--");
    if let Some(config) = config {
        name += &format!("--{}", config.replace('/', "--"));
    }
    name
}

fn download(wanted: &Wanted, folder: &Path) -> Result<()> {
    let mut line = Line::new();
    let fetched = Hub::from_env()?.fetch(wanted, folder, &mut |bytes, total_bytes| {
        line.show(Step { split: "download", images: 0, bytes, total_bytes });
    });
    line.clear();
    fetched
}

fn tell(output: &Path, reports: &[SplitReport], time: Duration) -> Result<()> {
    let mut bad = 0;
    let mut text = String::new();
    for SplitReport { split, read, written, bad: listed, resumed, shards, bytes } in reports {
        let listed_count = listed.len();
        text += &format!("{split}: read {read} = written {written} + listed {listed_count}; ");
        text += &format!("{shards} {}, {}", if *shards == 1 { "shard" } else { "shards" }, size(*bytes));
        if *resumed > 0 {
            text += &format!("; {resumed} were there already");
        }
        text.push('\n');
        for image in listed.iter().take(5) {
            text += &format!("  {}: {}\n", image.file, image.reason);
        }
        if listed_count > 5 {
            text += &format!("  and {} more\n", listed_count - 5);
        }
        bad += listed_count;
    }
    if bad > 0 {
        text += &format!("images that could not be used are listed in {}\n", output.join(BAD_IMAGES).display());
    }
    let images: u64 = reports.iter().map(|report| report.read - report.resumed).sum();
    let seconds = time.as_secs_f64();
    text += &match images {
        0 => "nothing was left to do\n".to_owned(),
        _ => format!("{images} images in {seconds:.1} s, {:.0} a second\n", images as f64 / seconds.max(1e-9)),
    };
    text += &format!("train on it: cargo run -p alexnet-cli -- train --data {}\n", output.display());
    std::io::stdout().write_all(text.as_bytes()).context("cannot print the report")
}

fn size(bytes: u64) -> String {
    match bytes as f64 {
        bytes if bytes < 1e9 => format!("{:.1} MB", bytes / 1e6),
        bytes => format!("{:.1} GB", bytes / 1e9),
    }
}

/// The progress on standard error: on a terminal, one line that is overwritten; elsewhere, a new line every 30 s.
struct Line {
    terminal: bool,
    last: Option<Instant>,
    /// The current split, when it started in this process, and its images and bytes at that time.
    start: Option<(String, Instant, u64, u64)>,
}

impl Line {
    fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), last: None, start: None }
    }

    fn show(&mut self, step: Step<'_>) {
        let now = Instant::now();
        let pause = Duration::from_secs(if self.terminal { 1 } else { 30 });
        if self.start.as_ref().is_none_or(|(split, ..)| split != step.split) {
            self.start = Some((step.split.to_owned(), now, step.images, step.bytes));
            self.last = Some(now);
        }
        let (Some((split, start, images, bytes)), Some(last)) = (&self.start, self.last) else { return };
        if now - last < pause {
            return;
        }
        self.last = Some(now);
        let seconds = (now - *start).as_secs_f64();
        let rate = (step.images - images) as f64 / seconds;
        let done = step.bytes as f64 / step.total_bytes.max(1) as f64;
        let left = (step.total_bytes - step.bytes.min(step.total_bytes)) as f64;
        let left = left * seconds / step.bytes.saturating_sub(*bytes).max(1) as f64;
        let what = match step.images {
            0 => format!("{:.1} MB/s", step.bytes.saturating_sub(*bytes) as f64 / seconds / 1e6),
            images => format!("{images} images, {rate:.0} images/s"),
        };
        let line = format!("{split}: {:.1} %, {what}, {} left", done * 100.0, time(left));
        if self.terminal {
            eprint!("\r{line:<78}");
        } else {
            eprintln!("{line}");
        }
    }

    fn clear(&mut self) {
        if self.terminal && self.last.is_some() {
            eprint!("\r{:78}\r", "");
        }
    }
}

fn time(seconds: f64) -> String {
    let minutes = (seconds / 60.0).round() as u64;
    match minutes {
        0 => format!("{seconds:.0} s"),
        1..60 => format!("{minutes} min"),
        _ => format!("{} h {} min", minutes / 60, minutes % 60),
    }
}
