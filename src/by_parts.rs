//! `Module` for a layer that wraps a struct of parts.
//!
//! burn derives `Module` for a struct. A layer that keeps an invariant between its parameters has to extend the derived
//! `map`, because a mapper may set any parameter. Such a layer keeps its parameters in a struct `Parts` with the
//! derived implementation, and defines `map` by its function `mapped`. All other functions call those of `Parts`.

/// Implements `Module` and its display for a struct with a field `parts` and a function `mapped`.
macro_rules! module_by_parts {
    ($layer:ident) => {
        impl burn::module::Module for $layer {
            fn map<M: burn::module::ModuleMapper>(self, mapper: &mut M) -> Self {
                self.mapped(mapper)
            }

            fn visit<V: burn::module::ModuleVisitor>(&self, visitor: &mut V) {
                self.parts.visit(visitor);
            }

            fn collect_devices(&self, devices: burn::module::Devices) -> burn::module::Devices {
                self.parts.collect_devices(devices)
            }

            fn fork(self, device: &burn::tensor::Device) -> Self {
                Self { parts: self.parts.fork(device) }
            }

            fn to_device(self, device: &burn::tensor::Device) -> Self {
                Self { parts: self.parts.to_device(device) }
            }

            fn train(self) -> Self {
                Self { parts: self.parts.train() }
            }

            fn valid(&self) -> Self {
                Self { parts: self.parts.valid() }
            }

            fn materialize(self) -> Self {
                Self { parts: self.parts.materialize() }
            }
        }

        impl burn::module::ModuleDisplay for $layer {}

        impl burn::module::ModuleDisplayDefault for $layer {
            fn content(&self, content: burn::module::Content) -> Option<burn::module::Content> {
                let content = self.parts.content(content)?;
                content.set_top_level_type(stringify!($layer)).optional()
            }

            fn num_params(&self) -> usize {
                burn::module::Module::num_params(self)
            }
        }

        impl std::fmt::Display for $layer {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&burn::module::ModuleDisplay::format(self, Default::default()))
            }
        }
    };
}
pub(crate) use module_by_parts;
