variable "name" {
  description = "First part of every name."
  type        = string
}

variable "partition" {
  description = "AWS partition of all ARNs."
  type        = string
}

variable "creates_provider" {
  description = "Whether to make GitHub's OIDC provider; false where the account has it."
  type        = bool
}

variable "push_trust" {
  description = "Who may push, as JSON."
  type        = string
}

variable "push_policy" {
  description = "What that role may do, as JSON."
  type        = string
}

variable "plan_trust" {
  description = "Who may plan, as JSON."
  type        = string
}

variable "plan_policy" {
  description = "What plans may not read, as JSON."
  type        = string
}
