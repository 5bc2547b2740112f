variable "name" {
  description = "First part of every name."
  type        = string
  default     = "soulcaster"
}

variable "github_repository" {
  description = "OWNER/NAME of your copy of Soulcaster: its Actions push images and make plans."
  type        = string
}

variable "github_branch" {
  description = "The one branch that images are pushed from."
  type        = string
  default     = "main"
}

variable "github_plan_environment" {
  description = "The one GitHub environment that plans run in."
  type        = string
  default     = "terraform-plan"
}

variable "creates_github_provider" {
  description = "Whether to make GitHub's OIDC provider; false where the account has it."
  type        = bool
  default     = true
}

variable "agent_image" {
  description = "The agent's image by digest; null until the first one has been pushed."
  type        = string
  default     = null
}

variable "model_url" {
  description = "Where the model answers (SOULCASTER_AGENT_MODEL_URL)."
  type        = string
  default     = "https://generativelanguage.googleapis.com"
}

variable "gateway_mode" {
  description = "sidecar: the model gateway runs beside the agent. task: in a task of its own, and the agent reaches nothing else."
  type        = string
  default     = "sidecar"
}

variable "cpu_units" {
  description = "Size of a task, 1024 units are one vCPU."
  type        = number
  default     = 2048
}

variable "memory_mib" {
  description = "Memory of a task in MiB."
  type        = number
  default     = 8192
}

variable "is_spot" {
  description = "Ask for Fargate Spot first."
  type        = bool
  default     = false
}

variable "cidr" {
  description = "Addresses of the agent's network."
  type        = string
  default     = "10.42.0.0/20"
}

variable "zone_letters" {
  description = "Last letters of the availability zones; look yours up where the region has no such zones."
  type        = list(string)
  default     = ["a", "b"]
}

variable "has_nat" {
  description = "Tasks run in private subnets behind a NAT gateway; without it they have public addresses and no way in."
  type        = bool
}

variable "allowed_domains" {
  description = "Names that tasks may resolve besides AWS's own: the model, package hosts; empty resolves all."
  type        = list(string)
  default     = []
}

variable "mail" {
  description = "Address that budget and alarms are mailed to."
  type        = string
}

variable "budget_usd" {
  description = "Monthly budget of the whole account in USD; mails at 50, 80 and 100 %."
  type        = number
  default     = 100
}

variable "host" {
  description = "The machine that runs Soulcaster: who reaches its proxy, its size; null when it runs elsewhere."
  type = object({
    ingress_cidrs = list(string)
    instance_type = optional(string, "m7i.large")
    data_gib      = optional(number, 50)
    cidr          = optional(string, "10.42.16.0/20")
  })
  default = null
}
