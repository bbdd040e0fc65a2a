//! A reference file and its JSON file.

use std::path::Path;

use burn_flows::burn::nn::activation::ActivationConfig as Burn;
use burn_flows::burn::nn::{
    CeluConfig, EluConfig, HardSigmoidConfig, LeakyReluConfig, SoftplusConfig,
};
use burn_flows::burn::tensor::{DType, Device, Tensor, TensorData};
use burn_flows::conditioner::ActivationConfig;
use burn_flows::interop::{HostTensor, StateDict};
use serde_json::Value;

/// The prefixes of tensors that do not belong to the model.
const NOT_STATE: [&str; 5] = ["io.", "io32.", "grad.", "grad_io.", "extra."];

/// The tensors of a file, and the JSON file of the library.
pub struct Reference {
    pub library: String,
    pub case: String,
    pub tensors: StateDict,
    sidecar: Value,
}

/// The library of a file: the name of its folder.
pub fn library_of(file: &Path) -> String {
    let folder = file.parent().and_then(Path::file_name);
    folder.unwrap_or_default().to_string_lossy().into_owned()
}

/// The case of a file: its name without the extension.
pub fn case_of(file: &Path) -> String {
    file.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

impl Reference {
    pub fn load(file: &Path) -> Result<Self, String> {
        let tensors = StateDict::load(file).map_err(|error| error.to_string())?;
        let page = file.with_extension("json");
        let sidecar = match std::fs::read_to_string(&page) {
            Ok(text) => serde_json::from_str(&text)
                .map_err(|error| format!("{}: {error}", page.display()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Value::Null,
            Err(error) => return Err(format!("{}: {error}", page.display())),
        };
        let library = sidecar["library"].as_str().map_or_else(|| library_of(file), str::to_string);
        Ok(Self { library, case: case_of(file), tensors, sidecar })
    }

    /// The tensors of the model, as in the library's `state_dict`.
    pub fn state(&self) -> StateDict {
        self.only(|name| !NOT_STATE.iter().any(|start| name.starts_with(start)))
    }

    /// The model's tensors except one.
    pub fn without(&self, left_out: &str) -> StateDict {
        self.only(|name| name != left_out)
    }

    /// The same reference without the gradients of parameters whose names contain `part`.
    pub fn without_gradients_of(&self, part: &str) -> Self {
        let left_out = |name: &str| name.starts_with("grad.") && name.contains(part);
        Self {
            library: self.library.clone(),
            case: self.case.clone(),
            tensors: self.only(|name| !left_out(name)),
            sidecar: self.sidecar.clone(),
        }
    }

    fn only(&self, wanted: impl Fn(&str) -> bool) -> StateDict {
        let mut state = StateDict::new();
        for name in self.tensors.names().filter(|name| wanted(name)) {
            state.insert(name, self.tensors.get(name).expect("listed").clone());
        }
        state
    }

    /// The floats of a tensor.
    pub fn floats(&self, name: &str) -> Result<&[f64], String> {
        let tensor = self.tensors.get(name).map_err(|error| error.to_string())?;
        tensor.as_floats().ok_or_else(|| format!("`{name}` does not hold floats"))
    }

    /// A tensor of `D` axes in f64.
    pub fn tensor<const D: usize>(&self, name: &str, device: &Device) -> Result<Tensor<D>, String> {
        let shape = self.shape(name)?;
        if shape.len() != D {
            return Err(format!("`{name}` has shape {shape:?}, expected {D} axes"));
        }
        let data = TensorData::new(self.floats(name)?.to_vec(), shape);
        Ok(Tensor::from_data(data, (device, DType::F64)))
    }

    pub fn shape(&self, name: &str) -> Result<Vec<usize>, String> {
        Ok(self.tensors.get(name).map_err(|error| error.to_string())?.shape().to_vec())
    }

    /// The context or the one-hot classes, if the case has some.
    pub fn context(&self, device: &Device) -> Result<Option<Tensor<2>>, String> {
        if self.tensors.contains("io.y") {
            return self.classes(device).map(Some);
        }
        self.tensors.contains("io.context").then(|| self.tensor("io.context", device)).transpose()
    }

    /// One-hot rows of the labels. The weights per class give the number of classes.
    fn classes(&self, device: &Device) -> Result<Tensor<2>, String> {
        let labels = self.tensors.get("io.y").map_err(|error| error.to_string())?;
        let labels = labels.as_ints().ok_or("`io.y` does not hold integers")?;
        let per_class = self.tensors.names().find(|name| name.ends_with("_cc"));
        let count = self.shape(per_class.ok_or("no weights per class")?)?[0];
        let row = |&label: &i64| (0..count).map(move |k| f64::from(k as i64 == label));
        let data = TensorData::new(labels.iter().flat_map(row).collect(), [labels.len(), count]);
        Ok(Tensor::from_data(data, (device, DType::F64)))
    }

    /// The names and gradients of the parameters.
    pub fn gradients(&self) -> impl Iterator<Item = (&str, &HostTensor)> {
        self.tensors.names().filter_map(|name| {
            let parameter = name.strip_prefix("grad.")?;
            Some((parameter, self.tensors.get(name).expect("listed")))
        })
    }

    /// How the library built the case.
    pub fn constructor(&self) -> &str {
        self.sidecar["constructor"].as_str().unwrap_or_default()
    }

    /// The distribution of the latents, as text.
    pub fn base(&self) -> &str {
        self.sidecar["base"].as_str().unwrap_or_default()
    }

    /// The number after `key=` in the constructor.
    pub fn argument(&self, key: &str) -> Option<f64> {
        self.number_behind(&format!("{key}="))
    }

    /// The two numbers in brackets after `key=` in the constructor.
    pub fn pair(&self, key: &str) -> Option<[f64; 2]> {
        let rest = self.constructor().split_once(&format!("{key}=("))?.1;
        let (low, high) = rest[..rest.find(')')?].split_once(',')?;
        Some([low.trim().parse().ok()?, high.trim().parse().ok()?])
    }

    /// The list after `key=` in the constructor.
    pub fn list(&self, key: &str) -> Option<Vec<usize>> {
        let rest = self.constructor().split_once(&format!("{key}=["))?.1;
        let items = rest[..rest.find(']')?].split(',').map(str::trim);
        items.filter(|item| !item.is_empty()).map(|item| item.parse().ok()).collect()
    }

    /// The number after `'key': ` in the constructor.
    pub fn entry(&self, key: &str) -> Option<f64> {
        self.number_behind(&format!("'{key}': "))
    }

    /// The activation that a constructor names, if any. `text` is the constructor or a part of it.
    pub fn activation(text: &str) -> Result<Option<ActivationConfig>, String> {
        let keys = ["'activation': ", " activation=", "(activation=", "nn_activation="];
        let Some(rest) = keys.iter().find_map(|key| Some(text.split_once(key)?.1)) else {
            return Ok(None);
        };
        let rest = &rest[..rest.find([',', ')', '}']).unwrap_or(rest.len())];
        let mut words = rest.split(|c: char| !c.is_alphanumeric() && c != '_');
        let name = words.rfind(|word| !word.is_empty()).unwrap_or_default();
        let config = match name.to_lowercase().replace('_', "").as_str() {
            "relu" => ActivationConfig::Relu,
            "silu" | "swish" => ActivationConfig::Silu,
            "identity" => ActivationConfig::Burn(Burn::Identity),
            "tanh" => ActivationConfig::Burn(Burn::Tanh),
            "sigmoid" => ActivationConfig::Burn(Burn::Sigmoid),
            "gelu" => ActivationConfig::Burn(Burn::Gelu),
            "selu" => ActivationConfig::Burn(Burn::Selu),
            "softsign" => ActivationConfig::Burn(Burn::Softsign),
            "hardswish" => ActivationConfig::Burn(Burn::HardSwish),
            "elu" => ActivationConfig::Burn(Burn::Elu(EluConfig::new())),
            "celu" => ActivationConfig::Burn(Burn::Celu(CeluConfig::new())),
            "leakyrelu" => ActivationConfig::Burn(Burn::LeakyRelu(LeakyReluConfig::new())),
            "softplus" => ActivationConfig::Burn(Burn::Softplus(SoftplusConfig::new())),
            "hardsigmoid" => {
                let config = HardSigmoidConfig::new().with_alpha(1.0 / 6.0);
                ActivationConfig::Burn(Burn::HardSigmoid(config))
            }
            _ => return Err(format!("activation `{name}` is not one of burn's")),
        };
        Ok(Some(config))
    }

    fn number_behind(&self, text: &str) -> Option<f64> {
        let rest = self.constructor().split_once(text)?.1;
        let end = rest.find([',', ')', ' ', ']', '}']).unwrap_or(rest.len());
        rest[..end].parse().ok()
    }

    /// The library's error in single precision relative to its double precision.
    pub fn f32_error(&self, what: &str) -> Option<f64> {
        self.sidecar["f32_abs_error_vs_f64"][what].as_f64()
    }

    /// The error of the library's inverse, if the inverse is a search or if its stated error
    /// exceeds `exact`. nflows computes the knots of its linear spline in single precision for the
    /// inverse. It also treats a cubic with a small first coefficient as a quadratic.
    pub fn inverse_error(&self, exact: f64) -> Option<f64> {
        let errors = self.sidecar["roundtrip_f64"].as_object()?.values();
        let error = errors.filter_map(Value::as_f64).fold(0.0, f64::max);
        let searches = self.sidecar["inverse_is_analytic"].as_bool() == Some(false);
        (searches || error > exact).then_some(error)
    }
}
