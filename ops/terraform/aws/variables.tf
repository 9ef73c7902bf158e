variable "name" {
  description = "The name of the deployment, a prefix of the names of its resources."
  type        = string
  default     = "ffapi"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,20}$", var.name))
    error_message = "Lower-case letters, digits and dashes, 2 to 21 characters."
  }
}

variable "vpc_id" {
  description = "The VPC of the cluster and the database."
  type        = string
}

variable "database_subnet_ids" {
  description = "Private subnets in at least two zones, for the database."
  type        = list(string)
}

variable "client_security_group_ids" {
  description = "Security groups whose members may connect to the database: those of the cluster's nodes."
  type        = set(string)
}

variable "oidc_provider_arn" {
  description = "The identity provider of the EKS cluster, for roles of service accounts."
  type        = string
}

variable "oidc_issuer" {
  description = "The issuer of that provider, without https://."
  type        = string
}

variable "namespace" {
  description = "The namespace in which the chart is installed."
  type        = string
  default     = "media"
}

variable "release" {
  description = "The name of the Helm release; service accounts begin with it."
  type        = string
  default     = "ffapi"
}

variable "database_instance_class" {
  description = "The instance class of Postgres."
  type        = string
  default     = "db.m7g.large"
}

variable "database_storage_gib" {
  description = "The storage of Postgres at first, and the most that it grows to."
  type        = object({ initial = number, maximum = number })
  default     = { initial = 100, maximum = 1000 }
}

variable "log_bucket" {
  description = "An existing bucket for the access logs of the bucket of objects."
  type        = string
}
