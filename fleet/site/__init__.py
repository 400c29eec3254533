"""The operator's folder of one site: keys, certificates, profiles, provisioning."""
