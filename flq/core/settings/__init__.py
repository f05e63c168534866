"""The settings of a run, their JSON form, and the rules that follow from them."""

from .json_form import LIMITS, Json, for_workers, public, settings_from_json, to_json, value_from_json
from .rules import GRANT_ORDERS, MEMORIES, OWN_KEYS, UPDATES, Rules, ServerStep, rules_from_settings
from .sections import (
    BudgetSelectionSettings,
    DatasetSettings,
    FlqAlgorithmSettings,
    JetsonOptimizationSettings,
    LazySelectionSettings,
    ModelSettings,
    NotifySettings,
    ReportSettings,
    SecuritySettings,
    Settings,
    SystemSettings,
)

__all__ = [
    "GRANT_ORDERS",
    "LIMITS",
    "MEMORIES",
    "OWN_KEYS",
    "UPDATES",
    "BudgetSelectionSettings",
    "DatasetSettings",
    "FlqAlgorithmSettings",
    "JetsonOptimizationSettings",
    "Json",
    "LazySelectionSettings",
    "ModelSettings",
    "NotifySettings",
    "ReportSettings",
    "Rules",
    "SecuritySettings",
    "ServerStep",
    "Settings",
    "SystemSettings",
    "for_workers",
    "public",
    "rules_from_settings",
    "settings_from_json",
    "to_json",
    "value_from_json",
]
