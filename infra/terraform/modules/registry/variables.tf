variable "repositories" {
  description = "Names of the repositories, by what lies in them."
  type        = map(string)
}

variable "lifecycle_policy" {
  description = "Which images go, as JSON."
  type        = string
}
