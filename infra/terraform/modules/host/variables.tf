variable "name" {
  description = "First part of every name."
  type        = string
}

variable "partition" {
  description = "AWS partition of all ARNs."
  type        = string
}

variable "subnet_id" {
  description = "A subnet with a way to the internet; better none that tasks of the agent run in."
  type        = string
}

variable "ingress_cidrs" {
  description = "Who reaches the proxy. Webhooks of GitHub and Sentry, and certificates of Let's Encrypt, come from everywhere."
  type        = list(string)

  validation {
    condition     = alltrue([for cidr in var.ingress_cidrs : can(cidrhost(cidr, 0))])
    error_message = "Expected IPv4 networks such as 203.0.113.0/24."
  }
}

variable "instance_type" {
  description = "Two vCPU and 8 GiB carry 100,000 items with the built-in embedder."
  type        = string
  default     = "m7i.large"
}

variable "data_gib" {
  description = "Size of the data volume in GiB."
  type        = number
  default     = 50
}

variable "launcher_policy_arn" {
  description = "The policy that lets it launch the agent."
  type        = string
}

variable "secret_arns" {
  description = "Secrets that it may read: never the model key of the agent's gateway."
  type        = list(string)
}

variable "repository_arn" {
  description = "The registry's repository of the app's image."
  type        = string
}
