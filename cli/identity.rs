//! Which gateway is meant: its labels and its namespace, as `run`, `check` and `why` are told.

use clap::Args;
use gatehouse_config::Labels;
use gatehouse_config::Resources;
use gatehouse_config::source::files;
use gatehouse_config::translate::{self, Translation};

/// The flags that say which gateway it is.
#[derive(Args, Clone, Debug)]
pub struct GatewayArgs {
    /// The labels that Gateways and Services select the gateway by; in a Pod (POD_NAME,
    /// POD_NAMESPACE) its own count as well
    /// [default: istio=ingressgateway,app=istio-ingressgateway]
    #[arg(long, value_name = "K=V,…", value_parser = labels)]
    pub labels: Option<Labels>,
    /// The namespace that the gateway belongs to
    #[arg(long, value_name = "NS", default_value = "istio-system")]
    pub namespace: String,
    #[command(flatten)]
    pub class: ClassArgs,
}

/// Whose Services are served.
#[derive(Args, Clone, Debug)]
pub struct ClassArgs {
    /// The loadBalancerClass of the Services that get an address, as MetalLB's flag of this name
    /// [default: those without a class]
    #[arg(long, value_name = "NAME")]
    pub lb_class: Option<String>,
}

/// What Istio's own ingress gateway has.
const LABELS: [(&str, &str); 2] = [("istio", "ingressgateway"), ("app", "istio-ingressgateway")];

impl ClassArgs {
    /// The class; an empty one is none, as with MetalLB.
    pub fn class(&self) -> Option<String> {
        self.lb_class.clone().filter(|class| !class.is_empty())
    }
}

impl GatewayArgs {
    /// The labels, where no Pod adds to them.
    pub fn labels(&self) -> Labels {
        match &self.labels {
            Some(labels) => labels.clone(),
            None => LABELS
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
        }
    }

    /// How files are translated for this gateway.
    pub fn settings(&self) -> translate::Settings {
        translate::Settings {
            labels: self.labels(),
            namespace: self.namespace.clone(),
            load_balancer_class: self.class.class(),
            service_namespaces: vec![self.namespace.clone()],
            root_namespace: self.namespace.clone(),
            ..translate::Settings::default()
        }
    }

    /// Translates once, with the files that the objects name.
    pub fn translate(&self, resources: &Resources, offline: bool) -> Translation {
        self.translate_with(
            resources,
            translate::Settings {
                offline,
                ..self.settings()
            },
        )
    }

    /// The same, with more that is known than files say.
    pub fn translate_with(
        &self,
        resources: &Resources,
        mut settings: translate::Settings,
    ) -> Translation {
        let translation = translate::translate(resources, &settings);
        if translation.model.files.is_empty() {
            return translation;
        }
        settings.files = files::read_all(&translation.model.files).into();
        translate::translate(resources, &settings)
    }
}

/// `key=value,key=value`.
///
/// # Errors
///
/// A part of it is no label.
pub fn labels(text: &str) -> Result<Labels, String> {
    text.split(',')
        .filter(|label| !label.is_empty())
        .map(|label| match label.split_once('=') {
            Some((key, value)) if !key.is_empty() => {
                Ok((key.trim().to_owned(), value.trim().to_owned()))
            }
            _ => Err(format!(
                "`{label}` is not a label; write key=value,key=value"
            )),
        })
        .collect()
}
