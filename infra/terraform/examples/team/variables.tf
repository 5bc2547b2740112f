variable "region" {
  description = "AWS region of everything."
  type        = string
}

variable "github_repository" {
  description = "OWNER/NAME of your copy of Soulcaster."
  type        = string
}

variable "agent_image" {
  description = "The agent's image by digest; null until the first one has been pushed."
  type        = string
  default     = null
}

variable "mail" {
  description = "Address that budget and alarms are mailed to."
  type        = string
}

variable "ingress_cidrs" {
  description = "Who reaches the proxy; [\"0.0.0.0/0\"] for webhooks and Let's Encrypt, sign-in stands behind it."
  type        = list(string)
}

variable "allowed_domains" {
  description = "Names that tasks may resolve besides AWS's own: the model, and where your repositories' tests fetch packages."
  type        = list(string)
  default     = ["generativelanguage.googleapis.com"]
}

variable "gateway_mode" {
  description = "task cuts the agent off from everything but model and S3 (its image has to hold what your tests need); sidecar does not."
  type        = string
  default     = "sidecar"
}
