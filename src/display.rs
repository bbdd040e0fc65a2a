//! The text of a module, as `Display` shows it, formatted by one function for all types.
//!
//! burn formats a module in a provided method of [`ModuleDisplay`], which the compiler builds anew for each type of
//! module: a quarter of all code of this crate. [`text`] erases the type first and gives the same text.

use burn::module::{Content, DisplaySettings, ModuleDisplay, ModuleDisplayDefault};

/// The text of a module. `type_name` is the full name of its type.
pub(crate) fn text(
    module: &dyn ModuleDisplay,
    type_name: &'static str,
    settings: DisplaySettings,
) -> String {
    Erased { module, name: short_name(type_name) }.format(settings)
}

/// The name of a type without its modules and parameters.
pub(crate) fn short_name(type_name: &'static str) -> &'static str {
    let bare = type_name.split('<').next().unwrap_or(type_name);
    bare.rsplit("::").next().unwrap_or(bare)
}

struct Erased<'a> {
    module: &'a dyn ModuleDisplay,
    name: &'static str,
}

impl Erased<'_> {
    /// Without a name, burn would print the name of this type.
    fn named(&self, content: Content) -> Content {
        match content.top_level_type {
            Some(_) => content,
            None => content.set_top_level_type(self.name),
        }
    }
}

impl ModuleDisplayDefault for Erased<'_> {
    fn content(&self, content: Content) -> Option<Content> {
        self.module.content(content).map(|content| self.named(content))
    }

    fn num_params(&self) -> usize {
        self.module.num_params()
    }
}

impl ModuleDisplay for Erased<'_> {
    fn custom_settings(&self) -> Option<DisplaySettings> {
        self.module.custom_settings()
    }

    fn custom_content(&self, content: Content) -> Option<Content> {
        self.module.custom_content(content).map(|content| self.named(content))
    }
}

/// Implements `ModuleDisplay` with [`text`] for a module with the attribute `#[module(custom_display)]`.
macro_rules! display {
    ($module:ident $(<$($part:ident),+>)?) => {
        $crate::display::display!(@impl
            [$($($part: burn::module::Module + burn::module::ModuleDisplay),+)?] $module $(<$($part),+>)?);
    };
    (@impl [$($generics:tt)*] $module:ty) => {
        impl<$($generics)*> burn::module::ModuleDisplay for $module {
            fn format(&self, settings: burn::module::DisplaySettings) -> String {
                $crate::display::text(self, std::any::type_name::<Self>(), settings)
            }
        }
    };
}
pub(crate) use display;

#[cfg(test)]
mod tests {
    use burn::module::{DisplaySettings, Module, ModuleDisplay, Param};
    use burn::tensor::{Device, Tensor};

    mod by_burn {
        use super::*;

        #[derive(Module, Debug)]
        pub struct Layer<M> {
            pub weight: Param<Tensor<2>>,
            pub width: usize,
            pub inner: M,
        }
    }

    mod erased {
        use super::*;

        #[derive(Module, Debug)]
        #[module(custom_display)]
        pub struct Layer<M> {
            pub weight: Param<Tensor<2>>,
            pub width: usize,
            pub inner: M,
        }

        crate::display::display!(Layer<M>);
    }

    #[test]
    fn texts_are_those_of_burn() {
        let weight = || Param::from_tensor(Tensor::<2>::ones([2, 3], &Device::flex()));
        let burn = |inner| by_burn::Layer { weight: weight(), width: 3, inner };
        let ours = |inner| erased::Layer { weight: weight(), width: 3, inner };
        let burn = by_burn::Layer {
            weight: weight(),
            width: 2,
            inner: vec![burn(None), burn(Some(weight()))],
        };
        let ours = erased::Layer {
            weight: weight(),
            width: 2,
            inner: vec![ours(None), ours(Some(weight()))],
        };
        assert!(burn.to_string().contains("Layer {\n  weight:"), "{burn}");
        assert_eq!(ours.to_string(), burn.to_string());
        let settings = DisplaySettings::new()
            .with_show_all_attributes(true)
            .with_new_line_after_attribute(false)
            .with_show_num_parameters(false);
        assert_eq!(ours.format(settings.clone()), burn.format(settings));
    }
}
