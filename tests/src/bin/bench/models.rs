//! Models that take tensors as they are, so that inferd and the bare loop get the very same floats.

use std::path::{Path, PathBuf};

use inferd_tests::fixtures;
use inferd_tests::variant::{npy, write};

/// Frames in a recording: more than any cache holds of them, few enough for the page cache.
const FRAMES: usize = 64;

/// A model with what the benchmark must know of it.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    /// For the table.
    pub(crate) what: String,
    /// The ONNX file.
    pub(crate) artifact: PathBuf,
    /// Name, in the bundle.
    pub(crate) name: &'static str,
    /// Extents of the input.
    pub(crate) shape: [usize; 4],
    /// What the manifest says of the output.
    meaning: &'static str,
}

const THREE: &str = "task = \"classification\"\nlabels = [\"empty\", \"part-ok\", \"part-defect\"]\n";
const TWO: &str = "task = \"classification\"\nlabels = [\"nobody\", \"person\"]\n";

const FACES: &str = "task = \"detection\"\ntensor = \"boxes\"\nlabels = [\"background\", \"face\"]\n\
                     [output.boxes]\nscores_tensor = \"scores\"\nbackground = \"background\"\n";

/// The fixtures' image models, and heavier ones by others where they are there.
pub(crate) fn all() -> anyhow::Result<Vec<Model>> {
    let belt = |version: &str, name| Model {
        what: format!("belt-inspect {version}, 64 x 64"),
        artifact: fixtures::model("belt-inspect", version).join("model.onnx"),
        name,
        shape: [1, 64, 64, 3],
        meaning: THREE,
    };
    let mut models = vec![belt("1.0.0", "belt-small"), belt("1.1.0", "belt-large")];
    if let Some(folder) = fixtures::real_data("benchmark of vww_float and face_rfb_320") {
        models.push(Model {
            what: "vww_float (MobileNet), 96 x 96".into(),
            artifact: folder.join("image/vww_float.onnx"),
            name: "vww",
            shape: [1, 96, 96, 3],
            meaning: TWO,
        });
        models.push(Model {
            what: "face_rfb_320 (RFB), 320 x 240".into(),
            artifact: folder.join("image/face_rfb_320.onnx"),
            name: "face",
            shape: [1, 3, 240, 320],
            meaning: FACES,
        });
    }
    Ok(models)
}

impl Model {
    /// Floats of a frame.
    pub(crate) fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// The same frames at every call: pixels between 0 and 1.
    pub(crate) fn frames(&self) -> Vec<Vec<f32>> {
        let mut random = fastrand::Rng::with_seed(20_260);
        (0..FRAMES).map(|_| (0..self.elements()).map(|_| random.f32()).collect()).collect()
    }

    /// Writes the frames as a recording: one `.npy` file of f32, the frames along its first axis.
    ///
    /// # Errors
    /// Where the disk fails.
    pub(crate) fn write_recording(&self, into: &Path) -> anyhow::Result<PathBuf> {
        let [_, first, second, third] = self.shape;
        let path = into.join(format!("{}.npy", self.name));
        write(&path, &npy(&[FRAMES, first, second, third], &self.frames().concat()))?;
        Ok(path)
    }

    /// Writes a model folder that `inferctl bundle pack` takes.
    ///
    /// # Errors
    /// Where the disk fails.
    pub(crate) fn write_folder(&self, into: &Path) -> anyhow::Result<PathBuf> {
        let folder = into.join(format!("{}-model", self.name));
        std::fs::create_dir(&folder)?;
        std::fs::copy(&self.artifact, folder.join("model.onnx"))?;
        let manifest = format!(
            "format = 1\nname = \"{}\"\nversion = \"1.0.0\"\nlicence = \"Apache-2.0\"\n\
             [artifact]\nfile = \"model.onnx\"\nformat = \"onnx\"\n\
             [input]\nkind = \"tensor\"\nshape = {:?}\ndtype = \"f32\"\n\
             [output]\n{}",
            self.name, self.shape, self.meaning
        );
        write(&folder.join("model.toml"), manifest.as_bytes())?;
        Ok(folder)
    }
}
