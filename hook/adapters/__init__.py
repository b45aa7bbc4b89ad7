"""One foreign system a module. Each returns the model's values or raises `hook.model.FindingError`, its cause chained."""
