//! `outlierDetection`: when an endpoint is left out for a while.

use std::time::Duration;

use crate::api::istio::traffic_policy::OutlierDetection as Api;
use crate::api::jsonpb;
use crate::model::OutlierDetection;
use crate::translate::field_path::FieldPath;
use crate::translate::report::ObjectReport;
use crate::translate::scalars::duration;

/// Reads the block. Defaults are Istio's, or Envoy's where Istio has none.
pub(super) fn parse(
    settings: &Api,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> OutlierDetection {
    let Api {
        consecutive_errors,
        split_external_local_origin_errors,
        consecutive_local_origin_failures,
        consecutive_gateway_errors,
        consecutive_5xx_errors,
        interval,
        base_ejection_time,
        max_ejection_percent,
        min_health_percent,
        outlier_detection_http_error_codes,
    } = settings;
    if *consecutive_errors != 0 {
        report.questionable(
            &path.field("consecutiveErrors"),
            "consecutiveErrors is deprecated and has no effect.",
            "Write consecutive5xxErrors or consecutiveGatewayErrors.",
        );
    }
    let split = *split_external_local_origin_errors;
    if !split && consecutive_local_origin_failures.unwrap_or(0) > 0 {
        report.invalid(
            &path.field("consecutiveLocalOriginFailures"),
            "failures of the connection are not counted apart from answers; the object is not used.",
            "Add `splitExternalLocalOriginErrors: true`.",
        );
    }
    let mut time = |value: Option<jsonpb::Duration>, field: &str, default: u64| {
        value
            .and_then(|value| duration(value, &path.field(field), report))
            .unwrap_or(Duration::from_secs(default))
    };
    let interval = time(*interval, "interval", 10);
    let base_ejection_time = time(*base_ejection_time, "baseEjectionTime", 30);
    let mut percent = |value: i32, field: &str| match u32::try_from(value) {
        Ok(percent) if percent <= 100 => percent,
        _ => {
            report.invalid(
                &path.field(field),
                format!("{value} is not from 0 to 100 percent; the object is not used."),
                "",
            );
            0
        }
    };
    let max_ejection_percent = match percent(*max_ejection_percent, "maxEjectionPercent") {
        0 => 10,
        percent => percent,
    };
    let min_health_percent = percent(*min_health_percent, "minHealthPercent");
    let list = path.field("outlierDetectionHttpErrorCodes");
    let codes = outlier_detection_http_error_codes.iter().enumerate();
    let error_codes = codes.filter_map(|(i, code)| match u16::try_from(*code) {
        Ok(code) if (100..600).contains(&code) => Some(code),
        _ => {
            report.invalid(
                &list.index(i),
                format!("{code} is no HTTP status; the object is not used."),
                "",
            );
            None
        }
    });
    OutlierDetection {
        error_codes: error_codes.collect(),
        consecutive_5xx: consecutive_5xx_errors.unwrap_or(5),
        consecutive_gateway_errors: consecutive_gateway_errors.unwrap_or(0),
        split_local_origin: split,
        // Envoy's default holds where Istio passes nothing on.
        consecutive_local_origin_failures: consecutive_local_origin_failures
            .filter(|count| *count > 0)
            .unwrap_or(5),
        interval,
        base_ejection_time,
        max_ejection_percent,
        min_health_percent,
    }
}
