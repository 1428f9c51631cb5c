"""Problems made of models and data that know nothing of this package."""
